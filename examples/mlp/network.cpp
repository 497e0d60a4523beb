#include "network.hpp"

#include <zlib.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "files.hpp"

namespace mlp {

Network make_network(const std::vector<int>& widths, Random& random) {
  Network network;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    Layer layer{Matrix(widths[i], widths[i + 1]), RowVector::Zero(widths[i + 1])};
    const double bound = std::sqrt(6.0 / widths[i]);
    for (float& weight : layer.weights.reshaped()) weight = static_cast<float>((2 * random.uniform() - 1) * bound);
    network.push_back(std::move(layer));
  }
  return network;
}

Activations forward(const Network& network, const Matrix& inputs) {
  Activations activations{inputs};
  for (const Layer& layer : network) {
    if (activations.size() > 1) activations.back() = activations.back().cwiseMax(0);
    Matrix outputs = activations.back() * layer.weights;
    outputs.rowwise() += layer.bias;
    activations.push_back(std::move(outputs));
  }
  return activations;
}

Matrix predict_logits(const Network& network, const Matrix& inputs) {
  return std::move(forward(network, inputs).back());
}

Gradient backward(const Network& network, const Activations& activations, const Matrix& logits_gradient) {
  Gradient gradient(network.size());
  Matrix flow = logits_gradient;
  for (std::size_t i = network.size(); i-- > 0;) {
    gradient[i].weights = activations[i].transpose() * flow;
    gradient[i].bias = flow.colwise().sum();
    if (i == 0) break;
    const Matrix into_inputs = flow * network[i].weights.transpose();
    flow = (activations[i].array() > 0).select(into_inputs, 0);  // the ReLU lets through what was positive
  }
  return gradient;
}

Adam::Adam(const Network& network, double learning_rate)
    : learning_rate_(static_cast<float>(learning_rate)), mean_(network) {
  for (Layer& layer : mean_) {
    layer.weights.setZero();
    layer.bias.setZero();
  }
  mean_square_ = mean_;
}

void Adam::step(Network& network, const Gradient& gradient) {
  constexpr float beta1 = 0.9F, beta2 = 0.999F, epsilon = 1e-8F;
  ++steps_;
  const float correction1 = 1 - std::pow(beta1, static_cast<float>(steps_));
  const float correction2 = 1 - std::pow(beta2, static_cast<float>(steps_));
  const float rate = learning_rate_ * std::sqrt(correction2) / correction1;
  const auto update = [&](auto& values, auto& mean, auto& mean_square, const auto& slope) {
    mean += (1 - beta1) * (slope - mean);
    mean_square += (1 - beta2) * (slope.cwiseAbs2() - mean_square);
    values.array() -= rate * mean.array() / (mean_square.array().sqrt() + epsilon);
  };
  for (std::size_t i = 0; i < network.size(); ++i) {
    update(network[i].weights, mean_[i].weights, mean_square_[i].weights, gradient[i].weights);
    update(network[i].bias, mean_[i].bias, mean_square_[i].bias, gradient[i].bias);
  }
}

namespace {

constexpr std::string_view magic = "distill mlp\n";
constexpr std::uint32_t version = 1;
constexpr std::size_t word = 4;
constexpr std::size_t largest_file = std::size_t{64} << 20;  // 100 times the teacher of the demo

void append(std::string& bytes, std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(value >> shift & 0xFF));
}

void append(std::string& bytes, float value) {
  append(bytes, std::bit_cast<std::uint32_t>(value));
}

std::uint32_t checksum(std::string_view bytes) {
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  return static_cast<std::uint32_t>(crc32(0, data, static_cast<uInt>(bytes.size())));
}

// Reads words from the front of a byte string, and refuses to read past its end.
class Words {
 public:
  explicit Words(std::string_view bytes) : bytes_(bytes) {}

  std::size_t left() const { return bytes_.size() / word; }

  std::uint32_t next() {
    if (left() == 0) throw std::runtime_error("is truncated");
    std::uint32_t value = 0;
    for (std::size_t i = word; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes_[i]);
    bytes_.remove_prefix(word);
    return value;
  }

  float next_float() { return std::bit_cast<float>(next()); }

 private:
  std::string_view bytes_;
};

std::string encode(const Network& network) {
  std::string bytes(magic);
  append(bytes, version);
  append(bytes, static_cast<std::uint32_t>(network.size()));
  for (const Layer& layer : network) {
    append(bytes, static_cast<std::uint32_t>(layer.weights.rows()));
    append(bytes, static_cast<std::uint32_t>(layer.weights.cols()));
  }
  for (const Layer& layer : network) {
    for (const float weight : layer.weights.reshaped<Eigen::RowMajor>()) append(bytes, weight);
    for (const float bias : layer.bias) append(bytes, bias);
  }
  append(bytes, checksum(bytes));
  return bytes;
}

Network decode(std::string_view bytes) {
  if (bytes.substr(0, magic.size()) != magic) throw std::runtime_error("is not a network saved by distill_mlp");
  Words words(bytes.substr(magic.size()));
  if (const std::uint32_t found = words.next(); found != version) {
    throw std::runtime_error("has format version " + std::to_string(found) + ", this program reads version " +
                             std::to_string(version));
  }
  // The size that the shapes ask for is compared with the file's before anything of that size is allocated. The limit
  // on each layer keeps the sum far from overflow: a file can list no more layers than it has words.
  struct Shape {
    std::uint64_t inputs, outputs;
  };
  std::vector<Shape> shapes;
  std::uint64_t values = 0;
  const std::uint32_t layers = words.next();
  for (std::uint32_t i = 0; i < layers; ++i) {
    const std::uint64_t inputs = words.next();
    const std::uint64_t outputs = words.next();
    const bool sane = inputs - 1 < largest_file && outputs - 1 < largest_file;  // 0 wraps around to a huge number
    if (!sane || (inputs + 1) * outputs > largest_file) {
      throw std::runtime_error("is damaged: it claims a layer of " + std::to_string(inputs) + " x " +
                               std::to_string(outputs));
    }
    shapes.push_back({inputs, outputs});
    values += (inputs + 1) * outputs;
  }
  const std::size_t expected = values + 1;
  if (words.left() < expected) throw std::runtime_error("is truncated");
  if (words.left() > expected || (bytes.size() - magic.size()) % word != 0) {
    throw std::runtime_error("is damaged: bytes follow the end of the network");
  }
  if (Words(bytes.substr(bytes.size() - word)).next() != checksum(bytes.substr(0, bytes.size() - word))) {
    throw std::runtime_error("is damaged: its checksum does not match");
  }

  bool fits = !shapes.empty() && shapes.front().inputs == pixels && shapes.back().outputs == classes;
  for (std::size_t i = 1; i < shapes.size(); ++i) fits = fits && shapes[i].inputs == shapes[i - 1].outputs;
  if (!fits) {
    throw std::runtime_error("does not lead from " + std::to_string(pixels) + " pixels to " + std::to_string(classes) +
                             " classes");
  }
  Network network;
  for (const auto& [inputs, outputs] : shapes) {
    Layer layer{Matrix(static_cast<Eigen::Index>(inputs), static_cast<Eigen::Index>(outputs)),
                RowVector(static_cast<Eigen::Index>(outputs))};
    for (float& weight : layer.weights.reshaped<Eigen::RowMajor>()) weight = words.next_float();
    for (float& bias : layer.bias) bias = words.next_float();
    if (!layer.weights.allFinite() || !layer.bias.allFinite())
      throw std::runtime_error("holds NaN or infinite weights");
    network.push_back(std::move(layer));
  }
  return network;
}

}  // namespace

void save_network(const Network& network, const std::filesystem::path& path) {
  write_file(path, encode(network));
}

Network load_network(const std::filesystem::path& path) {
  const std::string bytes = read_file(path, largest_file);
  try {
    return decode(bytes);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(path.string() + " " + error.what());
  }
}

}  // namespace mlp
