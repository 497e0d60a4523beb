#include "training.hpp"

#include <algorithm>
#include <cstddef>

namespace mlp {

void train(Network& network, const TransferSet& set, const Loss& loss, const Schedule& schedule, Random& random,
           const std::function<void(const Network&)>& after_epoch) {
  Adam adam(network, schedule.learning_rate);
  std::vector<int> order = iota(set.samples.size());
  for (int epoch = 0; epoch < schedule.epochs; ++epoch) {
    random.shuffle(order);
    for (auto at = order.begin(); at != order.end();) {
      const auto end = at + std::min<std::ptrdiff_t>(schedule.batch_size, order.end() - at);
      const std::vector<int> rows(at, end);
      TransferSet batch{select(set.samples, rows), {}};
      if (set.teacher_logits.size() > 0) batch.teacher_logits = select(set.teacher_logits, rows);

      const Activations activations = forward(network, batch.samples.inputs);
      const Matrix& logits = activations.back();
      Matrix gradient(logits.rows(), logits.cols());
      loss(logits, batch, gradient);  // the value is not needed: Adam wants only the gradient
      adam.step(network, backward(network, activations, gradient));
      at = end;
    }
    after_epoch(network);
  }
}

namespace {

template <class Counts>
double accuracy_where(const Matrix& logits, const std::vector<int>& labels, Counts counts) {
  int total = 0;
  int right = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (!counts(labels[i])) continue;
    Eigen::Index best = 0;
    logits.row(static_cast<Eigen::Index>(i)).maxCoeff(&best);
    ++total;
    right += best == labels[i];
  }
  return total == 0 ? 0 : static_cast<double>(right) / total;
}

}  // namespace

double accuracy(const Matrix& logits, const std::vector<int>& labels) {
  return accuracy_where(logits, labels, [](int) { return true; });
}

double accuracy_on(int digit, const Matrix& logits, const std::vector<int>& labels) {
  return accuracy_where(logits, labels, [digit](int label) { return label == digit; });
}

}  // namespace mlp
