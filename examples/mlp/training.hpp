#pragma once

#include <functional>
#include <vector>

#include "network.hpp"

namespace mlp {

// What a student is shown: samples, and what the teacher computes from each (empty when there is no teacher).
struct TransferSet {
  Samples samples;
  Activations teacher;
};

// What a loss reads of one mini-batch, and where it leaves its gradient: both gradients come as zeros, so a loss writes
// those of what it depends on. `own` are parameters that belong to the loss: a projection, say. `random` is the loss's own,
// too: what it draws does not change the batches.
struct Step {
  const Activations& student;
  const Activations& teacher;
  const std::vector<int>& labels;
  const std::vector<Layer>& own;
  Random& random;
  Activations& gradient;             // d loss / d student
  std::vector<Layer>& own_gradient;  // d loss / d own
};

// Returns the value.
using Loss = std::function<double(const Step& step)>;

// An epoch is a pass over the samples, or where there are more than these, over the next so many of them. So large data
// gets as many steps and looks at the progress as small data.
inline constexpr int largest_epoch = 1000;

struct Schedule {
  int epochs;
  int batch_size;
  double learning_rate;
};

// Trains by Adam on shuffled mini-batches, calling `after_epoch` after each epoch. The loss's own
// parameters start from `own`, are trained along and then thrown away.
void train(Network& network, std::vector<Layer> own, Random& random_of_loss, const TransferSet& set, const Loss& loss,
           const Schedule& schedule, Random& random, const std::function<void(const Network&)>& after_epoch);

// The share of the samples with the given label, or of all samples, whose largest logit is at their label.
double accuracy(const Matrix& logits, const std::vector<int>& labels);
double accuracy_on(int label, const Matrix& logits, const std::vector<int>& labels);

}  // namespace mlp
