#pragma once

#include <filesystem>
#include <vector>

#include "data.hpp"
#include "random.hpp"

namespace mlp {

using RowVector = Eigen::RowVectorXf;

struct Layer {
  Matrix weights;  // [inputs, outputs]
  RowVector bias;  // [outputs]
};

// Fully connected layers with a ReLU between them. The last layer's outputs are the logits: the losses of distill apply
// the softmax themselves.
using Network = std::vector<Layer>;

// Weights uniform in ±sqrt(6 / inputs) (He et al. 2015), biases 0. Widths: the inputs, each hidden layer, the outputs.
Network make_network(const std::vector<int>& widths, Random& random);

// What each layer reads, and as the last entry the logits. backward() needs all of them.
using Activations = std::vector<Matrix>;
Activations forward(const Network& network, const Matrix& inputs);
Matrix predict_logits(const Network& network, const Matrix& inputs);

// d loss / d weights and d loss / d bias of each layer, from d loss / d logits.
using Gradient = std::vector<Layer>;
Gradient backward(const Network& network, const Activations& activations, const Matrix& logits_gradient);

// Adam (Kingma and Ba 2015) with the constants of the paper.
class Adam {
 public:
  Adam(const Network& network, double learning_rate);
  void step(Network& network, const Gradient& gradient);

 private:
  float learning_rate_;
  int steps_ = 0;
  Gradient mean_;
  Gradient mean_square_;
};

// A file of a network: "distill mlp\n", then 32-bit little-endian words: version, number of layers, inputs and outputs
// of each layer; per layer the weights by rows and the bias as IEEE floats; the CRC-32 of all bytes before it. Both
// throw std::runtime_error with one line that names the file. A failed save leaves an older file as it was. A file is
// only loaded if it is whole and leads from `pixels` inputs to `classes` outputs.
void save_network(const Network& network, const std::filesystem::path& path);
Network load_network(const std::filesystem::path& path);

}  // namespace mlp
