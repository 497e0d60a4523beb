// What every loss shares: how rows become one number, how accurate, and what a call may take beside its arguments.
#pragma once

#include <cstddef>

#include <distill/core/executor.hpp>
#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// What the sum over rows is divided by; the name is the divisor.
enum class Reduction {
  mean,         ///< the sum of the row weights (the number of rows that are not ignored, without weights)
  sum,          ///< 1
  per_element,  ///< the sum of the row weights times the number of columns
};

/// How exact a float result is; see docs/accuracy.md for the figures. It chooses the form of KL values; probabilities,
/// gradients and cross entropy meet the figures of `high` either way, and double has one path.
enum class Precision {
  standard,  ///< for training
  high,      ///< for comparing models and publishing numbers: relative accuracy also where student and teacher agree
};

/// Memory of the caller's for a loss that needs much of it, of at least the loss's workspace_size(); it may not overlap
/// any other argument. Without it the calling thread's scratch memory is used, which is allocated once and kept.
struct Workspace {
  void* data = nullptr;
  std::size_t bytes = 0;
};

/// What a call may also take; pass it last: `kl(student, teacher, grad, {.weights = w})`. Fields are only ever
/// appended.
struct RowOptions {
  /// [rows] >= 0, or null for all 1. A row of weight 0 is ignored: never read, its loss and gradient are 0.
  const float* weights = nullptr;
  /// [rows] out, or null: the loss of each row, before row weights, `weight` and the reduction's divisor.
  double* losses = nullptr;
  /// Runs blocks of rows; sequential unless one is passed.
  Executor executor = {};
  /// Of losses on a batch's geometry, whose memory grows with the square of the batch; others leave it alone.
  Workspace workspace = {};
};

}  // namespace DISTILL_ABI
}  // namespace distill
