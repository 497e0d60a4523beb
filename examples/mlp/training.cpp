#include "training.hpp"

#include <algorithm>
#include <cstddef>

namespace mlp {

namespace {

Activations rows_of(const Activations& activations, const std::vector<int>& rows) {
  return {select(activations.maps, rows), select(activations.features, rows), select(activations.logits, rows)};
}

Activations zero_gradient(const Activations& activations) {
  const auto zeros = [](const Matrix& matrix) -> Matrix { return Matrix::Zero(matrix.rows(), matrix.cols()); };
  return {zeros(activations.maps), zeros(activations.features), zeros(activations.logits)};
}

}  // namespace

void train(Network& network, std::vector<Layer> own, Random& random_of_loss, const TransferSet& set, const Loss& loss,
           const Schedule& schedule, Random& random, const std::function<void(const Network&)>& after_epoch) {
  Adam adam(network, schedule.learning_rate);
  Adam own_adam(own, schedule.learning_rate);
  const bool has_teacher = set.teacher.logits.size() > 0;
  const int epoch_size = std::min(set.samples.size(), largest_epoch);
  std::vector<int> order = iota(set.samples.size());
  auto at = order.end();
  for (int epoch = 0; epoch < schedule.epochs; ++epoch) {
    for (int seen = 0; seen < epoch_size;) {
      if (at == order.end()) {
        random.shuffle(order);
        at = order.begin();
      }
      const auto end = at + std::min<std::ptrdiff_t>(schedule.batch_size, order.end() - at);
      const std::vector<int> rows(at, end);
      const Samples samples = select(set.samples, rows);
      const Activations teacher = has_teacher ? rows_of(set.teacher, rows) : Activations{};

      const Activations student = forward(network, samples.inputs);
      Activations gradient = zero_gradient(student);
      std::vector<Layer> own_gradient = zeros_like(own);
      loss({student, teacher, samples.labels, own, random_of_loss, gradient,
            own_gradient});  // Adam wants only the gradient
      adam.step(network, backward(network, samples.inputs, student, gradient));
      own_adam.step(own, own_gradient);
      seen += static_cast<int>(rows.size());
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

double accuracy_on(int label, const Matrix& logits, const std::vector<int>& labels) {
  return accuracy_where(logits, labels, [label](int other) { return other == label; });
}

}  // namespace mlp
