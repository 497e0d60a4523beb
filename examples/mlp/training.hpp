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

// What a loss reads from one mini-batch, and where it writes its gradient: both gradients start as zeros, so a loss
// writes only those of what it depends on. `own` are the loss's own parameters, such as a projection. `random` belongs
// to the loss too: what it draws does not change the batches.
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

// An epoch is a pass over the samples, or if there are more than this, over the next this many. So large data gets as
// many steps and evaluations as small data.
inline constexpr int largest_epoch = 1000;

struct Schedule {
  int epochs;
  int batch_size;
  double learning_rate;
};

// Trains by Adam on shuffled mini-batches, calling `after_epoch` after each epoch. The loss's own parameters start from
// `own`, are trained too and then dropped.
void train(Network& network, std::vector<Layer> own, Random& random_of_loss, const TransferSet& set, const Loss& loss,
           const Schedule& schedule, Random& random, const std::function<void(const Network&)>& after_epoch);

// The share of the samples with the given label, or of all samples, whose largest logit is at their label.
double accuracy(const Matrix& logits, const std::vector<int>& labels);
double accuracy_on(int label, const Matrix& logits, const std::vector<int>& labels);

}  // namespace mlp
