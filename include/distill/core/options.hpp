// What all losses share: how rows become one number, precision, and a call's optional arguments.
#pragma once

#include <cstddef>

#include <distill/core/executor.hpp>
#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// The divisor of the sum over rows.
enum class Reduction {
  mean,         ///< the sum of the row weights (the number of rows that are not ignored, without weights)
  sum,          ///< 1
  per_element,  ///< the sum of the row weights times the number of columns
};

/// How accurate a float result is; docs/accuracy.md has the figures. It chooses the form of KL values; probabilities,
/// gradients and cross entropy meet the figures of `high` either way, and double has one path.
enum class Precision {
  standard,  ///< for training
  high,      ///< for comparing models and publishing numbers: relative accuracy even where student and teacher agree
};

/// The caller's memory for a loss that needs much of it: at least the loss's workspace_size() bytes, not overlapping
/// any other argument. Without it the calling thread's scratch memory is used, which is allocated once and kept.
struct Workspace {
  void* data = nullptr;
  std::size_t bytes = 0;
};

/// Optional arguments of a call, passed last: `kl(student, teacher, grad, {.weights = w})`. New fields are only ever
/// appended.
struct RowOptions {
  /// [rows] >= 0, or null for all 1. A row of weight 0 is ignored: never read, its loss and gradient are 0.
  const float* weights = nullptr;
  /// [rows] out, or null: the loss of each row, before row weights, `weight` and the reduction's divisor.
  double* losses = nullptr;
  /// Runs blocks of rows; sequential by default.
  Executor executor = {};
  /// For losses on the geometry of a batch, whose memory grows with the square of the batch; others ignore it.
  Workspace workspace = {};
};

}  // namespace DISTILL_ABI
}  // namespace distill
