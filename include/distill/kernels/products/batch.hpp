// Losses on the geometry of a batch: which samples count, the memory for matrices of all pairs, and the reduction.
// Needs Eigen, for the products in kernels/products/gram.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/rows/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// What a loss keeps of n samples: n x n matrices of the computed type, and vectors of n doubles.
struct BatchMemory {
  static constexpr std::size_t most = 6;
  std::size_t squares, vectors;  // up to `most` of each
};

/// Columns of a matrix in one panel: no more numbers than a matrix of pairs, unless the batch is small.
inline std::size_t panel_cols(std::size_t samples, std::size_t cols) {
  return (std::min)(cols, std::max<std::size_t>(samples, 256));
}

template <class Student, class Teacher>
std::size_t widest(const Student& student, const Teacher& teacher) {
  return std::max<std::size_t>(student.cols, teacher.cols);
}

/// The bytes that a batch needs, including alignment to a cache line.
template <class C>
std::size_t batch_bytes(BatchMemory memory, std::size_t samples, std::size_t cols) {
  using detail::bytes_of;
  return 64 + memory.squares * bytes_of<C>(samples * samples) + (memory.vectors + 2) * bytes_of<double>(samples) +
         bytes_of<C>(samples) + 2 * bytes_of<C>(samples * panel_cols(samples, cols)) +
         bytes_of<double>(panel_cols(samples, cols)) + bytes_of<std::size_t>(samples);
}

/// The samples that count. A pair's weight is the product of its samples' weights.
template <class C>
class Batch {
 public:
  /// Losses and gradient of samples that do not count are set to 0. If the loss's weight is 0, none does, unless the
  /// samples' losses are asked for.
  template <class Call>
  Batch(const Call& call, BatchMemory memory, double loss_weight, const RowOptions& options)
      : executor(options.executor),
        panel_width(panel_cols(call.student.rows, widest(call.student, call.teacher))),
        workspace_(options.workspace.data, options.workspace.bytes),
        frame_(options.workspace.data ? workspace_ : detail::scratch()) {
    if (is_off(loss_weight, options)) return;
    const SampleWeights row_weights(options.weights, call.student.rows);
    row_weights.clear_ignored(call.grad, options.losses);
    row_weights.for_each([&](std::size_t, double) { ++size; });
    for (std::size_t k = 0; k < memory.squares; ++k) squares_[k] = frame_.take<C>(size * size);
    for (std::size_t k = 0; k < memory.vectors; ++k) vectors_[k] = frame_.take<double>(size);
    weights = frame_.take<double>(size);
    losses = frame_.take<double>(size);
    lane_weights = frame_.take<C>(size);
    panel = frame_.take<C>(size * panel_width);
    other_panel = frame_.take<C>(size * panel_width);
    panel_means = frame_.take<double>(panel_width);
    index = frame_.take<std::size_t>(size);
    std::size_t next = 0;
    row_weights.for_each([&](std::size_t i, double weight) {
      weights[next] = weight;
      lane_weights[next] = static_cast<C>(weight);
      losses[next] = 0;
      index[next++] = i;
    });
    total_weight = row_weights.total();
  }

  C* square(std::size_t k) const { return squares_[k]; }
  double* vector(std::size_t k) const { return vectors_[k]; }
  /// The memory of vector k, for numbers of the squares' type, which is no larger.
  C* lane_vector(std::size_t k) const { return reinterpret_cast<C*>(vector(k)); }

  template <class Body>
  void for_each(const Body& body) const {
    for_each_row(size, size, executor, body);
  }

  /// The factor of a sum over groups of `group` samples.
  double factor(double weight, Reduction reduction, int group) const {
    if (reduction == Reduction::mean) return weight / total_weight;
    for (int k = 0; reduction == Reduction::per_element && k < group; ++k) weight /= total_weight;
    return weight;
  }

  /// The total of the samples' losses, in order; the losses are also passed to the caller.
  double sum_losses(const RowOptions& options) const {
    double sum = 0;
    for (std::size_t k = 0; k < size; ++k) {
      sum += weights[k] * losses[k];
      if (options.losses) options.losses[index[k]] = losses[k];
    }
    return sum;
  }

  Executor executor;
  std::size_t size = 0;
  double total_weight = 0;
  double *weights, *losses;  // [size]
  C* lane_weights;           // [size] the weights, for sums in lanes
  std::size_t* index;        // [size] the samples' rows
  std::size_t panel_width;
  C *panel, *other_panel;  // size x up to panel_width
  double* panel_means;

 private:
  detail::ScratchStack workspace_;  // the caller's memory
  detail::ScratchFrame frame_;
  C* squares_[BatchMemory::most];
  double* vectors_[BatchMemory::most];
};

/// The bytes of workspace of a loss that keeps `memory` in C, for matrices of these shapes.
template <class C, class Student, class Teacher>
std::size_t workspace_size(BatchMemory memory, const Student& student_matrix, const Teacher& teacher_matrix) {
  const auto student = as_matrix(student_matrix);
  const auto teacher = as_matrix(teacher_matrix);
  return batch_bytes<C>(memory, student.rows, widest(student, teacher));
}

template <class C, class Loss, class Student, class Teacher, class Grad>
auto checked_batch(const char* who, const Loss& loss, BatchMemory memory, const Student& student_matrix,
                   const Teacher& teacher_matrix, Grad&& gradient, const RowOptions& options) {
  const auto call =
      detail::checked_pair(who, loss, as_matrix(student_matrix), as_matrix(teacher_matrix), gradient, options,
                           [&](const auto& student, const auto& teacher) {
                             if (teacher.rows == student.rows) return;
                             detail::fail(who, "teacher has ", teacher.rows, " rows, student has ", student.rows);
                           });
  detail::require_whole_batch(who, options);
  detail::require_workspace(who, options, workspace_size<C>(memory, call.student, call.teacher), call);
  return call;
}

/// compute(call). If the loss's weight is 0, without a gradient, which is 0 whatever the samples hold.
template <class Loss, class Call, class Compute>
double compute_batch(const Loss& loss, const Call& call, const Compute& compute) {
  if (loss.weight != 0) return compute(call);
  Call without_gradient = call;
  without_gradient.grad = {};
  const double value = compute(without_gradient);
  clear_gradient(call.grad, call.student.rows);  // last: it may be the student's memory
  return value;
}

/// The computed type of two matrices.
template <class Student, class Teacher>
using batch_compute_t =
    detail::compute_t<std::remove_pointer_t<decltype(as_matrix(std::declval<const Student&>()).data)>,
                      std::remove_pointer_t<decltype(as_matrix(std::declval<const Teacher&>()).data)>>;

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
