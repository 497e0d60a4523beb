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

Layer make_layer(int inputs, int outputs, Random& random) {
  Layer layer{Matrix(inputs, outputs), RowVector::Zero(outputs)};
  const double bound = std::sqrt(6.0 / inputs);
  for (float& weight : layer.weights.reshaped()) weight = static_cast<float>((2 * random.uniform() - 1) * bound);
  return layer;
}

Network make_network(const Shape& shape, Random& random) {
  return {make_layer(shape.patch_pixels, shape.channels, random),
          make_layer(patches * shape.channels, shape.hidden, random), make_layer(shape.hidden, shape.classes, random)};
}

namespace {

// The same numbers in rows of another width: one patch per row where a layer maps patches, one sample per row
// elsewhere.
Eigen::Map<const Matrix> in_rows_of(Eigen::Index width, const Matrix& values) {
  return {values.data(), values.size() / width, width};
}

Matrix outputs_of(const Layer& layer, const Matrix& inputs) {
  Matrix outputs = in_rows_of(layer.weights.rows(), inputs) * layer.weights;
  outputs.rowwise() += layer.bias;
  outputs.resize(inputs.rows(), outputs.size() / inputs.rows());  // one sample per row again; the numbers stay
  return outputs;
}

Layer parameter_gradient(const Layer& layer, const Matrix& inputs, const Matrix& outputs_gradient) {
  const auto gradient = in_rows_of(layer.weights.cols(), outputs_gradient);
  return {in_rows_of(layer.weights.rows(), inputs).transpose() * gradient, gradient.colwise().sum()};
}

Matrix inputs_gradient(const Layer& layer, const Matrix& outputs_gradient) {
  return outputs_gradient * layer.weights.transpose();
}

Matrix relu(const Matrix& values) {
  return values.cwiseMax(0);
}

// The ReLU passes what was positive.
Matrix relu_gradient(const Matrix& outputs, const Matrix& outputs_gradient) {
  return (outputs.array() > 0).select(outputs_gradient, 0);
}

}  // namespace

Activations forward(const Network& network, const Matrix& inputs) {
  const auto& [patch, hidden, output] = network;
  Activations activations;
  activations.maps = relu(outputs_of(patch, inputs));
  activations.features = relu(outputs_of(hidden, activations.maps));
  activations.logits = outputs_of(output, activations.features);
  return activations;
}

Matrix predict_logits(const Network& network, const Matrix& inputs) {
  return forward(network, inputs).logits;
}

Network backward(const Network& network, const Matrix& inputs, const Activations& activations,
                 const Activations& gradient) {
  const auto& [patch, hidden, output] = network;
  const auto& [maps, features, logits] = activations;
  const Matrix into_features = relu_gradient(features, gradient.features + inputs_gradient(output, gradient.logits));
  const Matrix into_maps = relu_gradient(maps, gradient.maps + inputs_gradient(hidden, into_features));
  return {parameter_gradient(patch, inputs, into_maps), parameter_gradient(hidden, maps, into_features),
          parameter_gradient(output, features, gradient.logits)};
}

std::vector<Layer> zeros_like(std::span<const Layer> layers) {
  std::vector<Layer> zeros(layers.begin(), layers.end());
  for (Layer& layer : zeros) {
    layer.weights.setZero();
    layer.bias.setZero();
  }
  return zeros;
}

Adam::Adam(std::span<const Layer> layers, double learning_rate)
    : learning_rate_(static_cast<float>(learning_rate)), mean_(zeros_like(layers)), mean_square_(mean_) {}

void Adam::step(std::span<Layer> layers, std::span<const Layer> gradient) {
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
  for (std::size_t i = 0; i < layers.size(); ++i) {
    update(layers[i].weights, mean_[i].weights, mean_square_[i].weights, gradient[i].weights);
    update(layers[i].bias, mean_[i].bias, mean_square_[i].bias, gradient[i].bias);
  }
}

namespace {

constexpr std::string_view magic = "distill mlp\n";
constexpr std::uint32_t version = 2;
constexpr std::size_t word = 4;
constexpr std::size_t largest_file = std::size_t{64} << 20;  // 100 times the teacher of the demo
constexpr std::uint64_t largest_size = std::uint64_t{1} << 24;

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
  const auto& [patch, hidden, output] = network;
  std::string bytes(magic);
  append(bytes, version);
  for (const Eigen::Index size :
       {patch.weights.rows(), patch.weights.cols(), hidden.weights.cols(), output.weights.cols()}) {
    append(bytes, static_cast<std::uint32_t>(size));
  }
  for (const Layer& layer : network) {
    for (const float weight : layer.weights.reshaped<Eigen::RowMajor>()) append(bytes, weight);
    for (const float bias : layer.bias) append(bytes, bias);
  }
  append(bytes, checksum(bytes));
  return bytes;
}

Network decode(std::string_view bytes, int expected_patch_pixels, int expected_classes) {
  if (bytes.substr(0, magic.size()) != magic) throw std::runtime_error("is not a network saved by distill_mlp");
  Words words(bytes.substr(magic.size()));
  if (const std::uint32_t found = words.next(); found != version) {
    throw std::runtime_error("has format version " + std::to_string(found) + ", this program reads version " +
                             std::to_string(version));
  }
  // The size that the shape implies is compared with the file's before anything of that size is allocated. The limit on
  // each number keeps the sum far from overflow.
  const std::uint64_t patch_pixels = words.next(), channels = words.next(), hidden = words.next(),
                      classes = words.next();
  for (const std::uint64_t size : {patch_pixels, channels, hidden, classes}) {
    if (size == 0 || size > largest_size) {
      throw std::runtime_error("is damaged: it claims a layer of size " + std::to_string(size));
    }
  }
  const std::uint64_t values =
      (patch_pixels + 1) * channels + (patches * channels + 1) * hidden + (hidden + 1) * classes;
  const std::size_t expected = values + 1;
  if (words.left() < expected) throw std::runtime_error("is truncated");
  if (words.left() > expected || (bytes.size() - magic.size()) % word != 0) {
    throw std::runtime_error("is damaged: bytes follow the end of the network");
  }
  if (Words(bytes.substr(bytes.size() - word)).next() != checksum(bytes.substr(0, bytes.size() - word))) {
    throw std::runtime_error("is damaged: its checksum does not match");
  }
  const auto leads = [](std::uint64_t from, std::uint64_t to) {
    return "from patches of " + std::to_string(from) + " pixels to " + std::to_string(to) + " classes";
  };
  const std::string found = leads(patch_pixels, classes);
  const std::string wanted =
      leads(static_cast<std::uint64_t>(expected_patch_pixels), static_cast<std::uint64_t>(expected_classes));
  if (found != wanted) throw std::runtime_error("leads " + found + ", expected " + wanted);

  const auto read_layer = [&](std::uint64_t inputs, std::uint64_t outputs) {
    Layer layer{Matrix(static_cast<Eigen::Index>(inputs), static_cast<Eigen::Index>(outputs)),
                RowVector(static_cast<Eigen::Index>(outputs))};
    for (float& weight : layer.weights.reshaped<Eigen::RowMajor>()) weight = words.next_float();
    for (float& bias : layer.bias) bias = words.next_float();
    if (!layer.weights.allFinite() || !layer.bias.allFinite())
      throw std::runtime_error("holds NaN or infinite weights");
    return layer;
  };
  return {read_layer(patch_pixels, channels), read_layer(patches * channels, hidden), read_layer(hidden, classes)};
}

}  // namespace

void save_network(const Network& network, const std::filesystem::path& path) {
  write_file(path, encode(network));
}

Network load_network(const std::filesystem::path& path, int patch_pixels, int classes) {
  const std::string bytes = read_file(path, largest_file);
  try {
    return decode(bytes, patch_pixels, classes);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(path.string() + " " + error.what());
  }
}

}  // namespace mlp
