#pragma once

#include <array>
#include <filesystem>
#include <span>
#include <vector>

#include "data.hpp"
#include "random.hpp"

namespace mlp {

using RowVector = Eigen::RowVectorXf;

struct Layer {
  Matrix weights;  // [inputs, outputs]
  RowVector bias;  // [outputs]
};

// A patch layer, a hidden layer and an output layer, with a ReLU after the first two. The patch layer maps the pixels
// of each patch of the image to channels, all patches with the same weights: a convolution whose stride is its kernel.
// The outputs are the logits: the losses of distill apply the softmax themselves.
using Network = std::array<Layer, 3>;

struct Shape {
  int patch_pixels;
  int channels;
  int hidden;
  int classes;
};

// Weights uniform in ±sqrt(6 / inputs) (He et al. 2015), biases 0.
Layer make_layer(int inputs, int outputs, Random& random);
Network make_network(const Shape& shape, Random& random);

// What a network computes from its inputs, one sample per row. The same struct holds d loss / d each of them.
struct Activations {
  Matrix maps;      // [size, patches * channels] after the ReLU; in memory [sample][patch][channel]
  Matrix features;  // [size, hidden] after the ReLU
  Matrix logits;    // [size, classes]
};
Activations forward(const Network& network, const Matrix& inputs);
Matrix predict_logits(const Network& network, const Matrix& inputs);

// d loss / d weights and d loss / d bias of each layer, from d loss / d activations, where each counts what the loss
// reads directly.
Network backward(const Network& network, const Matrix& inputs, const Activations& activations,
                 const Activations& gradient);

// Layers of the same shapes, all 0.
std::vector<Layer> zeros_like(std::span<const Layer> layers);

// Adam (Kingma and Ba 2015) with the constants of the paper.
class Adam {
 public:
  Adam(std::span<const Layer> layers, double learning_rate);
  void step(std::span<Layer> layers, std::span<const Layer> gradient);

 private:
  float learning_rate_;
  int steps_ = 0;
  std::vector<Layer> mean_;
  std::vector<Layer> mean_square_;
};

// A file of a network: "distill mlp\n", then 32-bit little-endian words: version, pixels of a patch, channels, hidden
// units and classes; per layer the weights by rows and the bias as IEEE floats; the CRC-32 of all bytes before it. Both
// throw std::runtime_error with one line that names the file. A failed save leaves an older file as it was. A file is
// only loaded if it is whole and leads from patches of `patch_pixels` to `classes`.
void save_network(const Network& network, const std::filesystem::path& path);
Network load_network(const std::filesystem::path& path, int patch_pixels, int classes);

}  // namespace mlp
