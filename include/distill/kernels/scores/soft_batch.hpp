// Losses that compare the probabilities of a whole batch: rows with rows, and classes with classes. The probabilities
// of all rows that count are kept contiguously in scratch memory.
#pragma once

#include <cstddef>

#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/teachers.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/scores/backward_row.hpp>
#include <distill/kernels/scores/softmax_row.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>
#include <distill/kernels/scores/transform_row.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// The probabilities of the rows that count. A row of weight 2 counts as two rows.
template <class C>
struct SoftBatch {
  const C* student;       // rows x cols
  const C* teacher;       // rows x cols
  const double* weights;  // [rows] > 0
  std::size_t rows, cols;
  double total_weight;
  Executor executor;

  const C* q(std::size_t i) const { return student + i * cols; }
  const C* p(std::size_t i) const { return teacher + i * cols; }
};

/// `batch_loss(batch, scale, losses, gradient, work)` returns the loss of the batch for Reduction::mean. It sets
/// `losses` to those of the rows, and adds to `gradient` (null if none is wanted) scale times the gradient, with
/// respect to q, of the loss times the batch's weight. `work` holds work_size(rows) doubles.
template <class L, class Loss, class S, class T, class G, class BatchLoss, class WorkSize>
double reduce_soft_batch(const Loss& loss, const detail::TeacherCall<S, T, G>& call, const RowOptions& options,
                         const WorkSize& work_size, const BatchLoss& batch_loss) {
  using C = typename L::Scalar;
  const std::size_t rows = call.student.rows, cols = call.student.cols;
  if (is_off(loss.weight, options)) {
    clear_gradient(call.grad, rows);
    return 0;
  }
  const SampleWeights row_weights(options.weights, rows);
  const double total_weight = row_weights.total();
  std::size_t live = 0;
  row_weights.for_each([&](std::size_t, double) { ++live; });
  row_weights.clear_ignored(call.grad, options.losses);
  if (live == 0) return 0;

  const bool wants_gradient = call.grad.view.data != nullptr && loss.weight != 0;
  detail::ScratchFrame frame;
  C* const z = frame.take<C>(live * cols);
  C* const q = frame.take<C>(live * cols);
  C* const p = frame.take<C>(live * cols);
  C* const g = frame.take<C>(live * cols);
  double* const weights = frame.take<double>(live);
  double* const losses = frame.take<double>(live);
  double* const own_losses = frame.take<double>(live);
  std::size_t* const index = frame.take<std::size_t>(live);
  TransformRow<L>* const transforms = frame.take<TransformRow<L>>(live);
  double* const work = frame.take<double>(work_size(live));
  std::size_t next = 0;
  row_weights.for_each([&](std::size_t i, double weight) {
    weights[next] = weight;
    losses[next] = 0;
    index[next++] = i;
  });
  for_each_row(live, cols, options.executor, [&](std::size_t k) {
    transforms[k] = TransformRow<L>(loss.logits, true);
    transforms[k].forward(call.student.row(index[k]), cols, z + k * cols);
    softmax_row<L>(z + k * cols, cols, loss.temperature, q + k * cols);
    for (std::size_t j = 0; j < cols; ++j) g[k * cols + j] = 0;
  });
  const double factor = loss.reduction == Reduction::sum ? loss.weight : loss.weight / total_weight;
  double value = 0;
  for (std::size_t m = 0; m < call.teachers.size(); ++m) {
    const auto& teacher = call.teachers[m];
    if (teacher.weight == 0) continue;
    for_each_row(live, cols, options.executor, [&](std::size_t k) {
      TransformRow<L> transform(loss.logits, teacher.scores.kind == ScoreKind::logits);
      transform.forward(teacher.scores.matrix.row(index[k]), cols, p + k * cols);
      softmax_row<L>(p + k * cols, cols, loss.temperature, p + k * cols);
    });
    const SoftBatch<C> batch{q, p, weights, live, cols, total_weight, options.executor};
    for (std::size_t k = 0; k < live; ++k) own_losses[k] = 0;
    value +=
        teacher.weight * batch_loss(batch, factor * teacher.weight, own_losses, wants_gradient ? g : nullptr, work);
    for (std::size_t k = 0; k < live; ++k) losses[k] += teacher.weight * own_losses[k];
  }
  if (options.losses) {
    for (std::size_t k = 0; k < live; ++k) options.losses[index[k]] = losses[k];
  }
  if (wants_gradient) {
    for_each_row(live, cols, options.executor, [&](std::size_t k) {
      C* const row = g + k * cols;
      softmax_backward_row<L>(q + k * cols, row, cols, loss.temperature, GradientRow<C>{row});
      transforms[k].backward(z + k * cols, cols, row);
      put_row<L>(row, cols, gradient_row(call.grad, index[k]));
    });
  }
  if (loss.weight == 0) clear_gradient(call.grad, rows);
  return weighted_loss(loss.weight * (loss.reduction == Reduction::sum ? total_weight : 1), value);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
