// What all losses share: how rows become one number, precision, and a call's optional arguments.
#pragma once

#include <cstddef>

#include <distill/core/executor.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// The divisor of the sum over rows.
enum class Reduction {
  mean,         ///< the sum of the row weights (the number of rows that are not ignored, without weights)
  sum,          ///< 1
  per_element,  ///< the sum of the row weights times the number of columns (of terms, if the header says so)
};

/// How accurate a float result is; docs/accuracy.md has the figures. It chooses the form of KL values; probabilities,
/// gradients and cross entropy meet the figures of `high` either way, and double has one path.
enum class Precision {
  standard,  ///< for training
  high,      ///< for comparing models and publishing numbers: relative accuracy even where student and teacher agree
};

/// The caller's memory for a loss that needs much of it: at least the loss's workspace_size() bytes, not overlapping
/// any other argument, and not in use by a call that is not over: one for each call under way, also where an executor
/// runs one call on top of another. Without it the calling thread's scratch memory is used, which is allocated once and
/// kept.
struct Workspace {
  void* data = nullptr;
  std::size_t bytes = 0;
};

/// What a call may also take; pass it last: `kl(student, teacher, grad, {.weights = w})`. Rows are samples where a loss
/// takes feature maps.
struct RowOptions {
  /// Finite and >= 0, or none for all 1. A row of weight 0 is ignored: never read, its loss and gradient are 0.
  PerRow<const float> weights = {};
  /// Where this call is a part of a larger batch (a micro-batch, a rank's rows, a block): the sum of the row weights of
  /// all of it, of rows that are not ignored. Reduction::mean divides by it, per_element by it times the columns, so the
  /// parts' losses and gradients add up to the batch's. 0: the sum of this call's own; less than that throws. Not with
  /// Reduction::sum, which divides by 1, nor in losses whose rows depend on one another.
  double total_weight = 0;
  /// Out, or none: the loss of each row, before row weights, `weight` and the reduction's divisor. A loss whose `weight` is
  /// 0 reads rows for these alone; its value and its gradient are 0 whatever the rows hold.
  PerRow<double> losses = {};
  /// Runs blocks of rows; sequential unless one is passed.
  Executor executor = {};
  /// For losses on the geometry of a batch, whose memory grows with the square of the batch; others ignore it.
  Workspace workspace = {};
};

}  // namespace DISTILL_ABI
}  // namespace distill
