#pragma once

#include <functional>
#include <vector>

#include "network.hpp"

namespace mlp {

// What a student is shown: samples, and what the teacher says about each (empty when there is no teacher).
struct TransferSet {
  Samples samples;
  Matrix teacher_logits;  // [size, classes]
};

// A loss of the logits of one mini-batch. It returns the value and writes d loss / d logits into `gradient`, which has
// the shape of `logits`.
using Loss = std::function<double(const Matrix& logits, const TransferSet& batch, Matrix& gradient)>;

struct Schedule {
  int epochs;
  int batch_size;
  double learning_rate;
};

// Trains by Adam on shuffled mini-batches, calling `after_epoch` after each pass over the set.
void train(Network& network, const TransferSet& set, const Loss& loss, const Schedule& schedule, Random& random,
           const std::function<void(const Network&)>& after_epoch);

// The share of the samples with the label `digit`, or of all samples, whose largest logit is at their label.
double accuracy(const Matrix& logits, const std::vector<int>& labels);
double accuracy_on(int digit, const Matrix& logits, const std::vector<int>& labels);

}  // namespace mlp
