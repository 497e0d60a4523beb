// Losses on the geometry of a batch: which samples count, the memory for matrices of all pairs, and the reduction.
// Needs Eigen, for the products in kernels/gram.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// What a loss keeps of n samples: matrices n x n of the type that it computes in, and vectors of n doubles.
struct BatchMemory {
  std::size_t squares, vectors;
};

/// Columns of a matrix that are looked at together: no more numbers than a matrix of pairs, unless the batch is small.
inline std::size_t panel_cols(std::size_t samples, std::size_t cols) {
  return (std::min)(cols, std::max<std::size_t>(samples, 256));
}

/// The bytes that a batch needs, with room to begin at a cache line.
template <class C>
std::size_t batch_bytes(BatchMemory memory, std::size_t samples, std::size_t cols) {
  using detail::bytes_of;
  return 64 + memory.squares * bytes_of<C>(samples * samples) + (memory.vectors + 2) * bytes_of<double>(samples) +
         bytes_of<C>(samples) + 2 * bytes_of<C>(samples * panel_cols(samples, cols)) +
         bytes_of<double>(panel_cols(samples, cols)) + bytes_of<std::size_t>(samples);
}

/// The samples that count. A pair weighs the product of its samples' weights.
template <class C>
class Batch {
 public:
  Batch(std::size_t rows, std::size_t cols, BatchMemory memory, const RowOptions& options)
      : executor(options.executor), panel_width(kernels::panel_cols(rows, cols)) {
    for (std::size_t i = 0; i < rows; ++i) size += !options.weights || options.weights[i] != 0;
    detail::ScratchArrays arrays(memory_for(batch_bytes<C>(memory, rows, cols), options.workspace));
    squares_ = arrays.take<C>(0);
    for (std::size_t k = 0; k < memory.squares; ++k) arrays.take<C>(rows * rows);
    vectors_ = arrays.take<double>(0);
    for (std::size_t k = 0; k < memory.vectors; ++k) arrays.take<double>(rows);
    weights = arrays.take<double>(rows);
    losses = arrays.take<double>(rows);
    lane_weights = arrays.take<C>(rows);
    panel = arrays.take<C>(rows * panel_width);
    other_panel = arrays.take<C>(rows * panel_width);
    panel_means = arrays.take<double>(panel_width);
    index = arrays.take<std::size_t>(rows);
    for (std::size_t i = 0, k = 0; i < rows; ++i) {
      if (options.losses) options.losses[i] = 0;
      if (options.weights && options.weights[i] == 0) continue;
      weights[k] = options.weights ? static_cast<double>(options.weights[i]) : 1;
      lane_weights[k] = static_cast<C>(weights[k]);
      total_weight += weights[k];
      losses[k] = 0;
      index[k++] = i;
    }
  }

  C* square(std::size_t k) const { return squares_ + k * (detail::bytes_of<C>(size * size) / sizeof(C)); }
  double* vector(std::size_t k) const { return vectors_ + k * (detail::bytes_of<double>(size) / sizeof(double)); }

  template <class Body>
  void for_each(const Body& body) const {
    for_each_row(size, size, executor, body);
  }

  /// What a sum over groups of `group` samples is multiplied by.
  double factor(double weight, Reduction reduction, int group) const {
    if (reduction == Reduction::mean) return weight / total_weight;
    for (int k = 0; reduction == Reduction::per_element && k < group; ++k) weight /= total_weight;
    return weight;
  }

  /// The total of the samples' losses, in their order, which are handed to the caller, too.
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
  static void* memory_for(std::size_t bytes, const Workspace& workspace) {
    if (!workspace.data) return detail::scratch().batch.reserve(bytes);
    const auto address = reinterpret_cast<std::uintptr_t>(workspace.data);
    return static_cast<char*>(workspace.data) + (64 - address % 64) % 64;
  }

  C* squares_;
  double* vectors_;
};

/// A call on a batch, checked.
template <class S, class T, class G>
struct BatchCall {
  MatrixView<S> student;
  MatrixView<T> teacher;
  GradientTarget<MatrixView<G>> grad;

  std::size_t widest() const { return std::max<std::size_t>(student.cols, teacher.cols); }
  bool wants_gradient() const { return grad.view.data != nullptr; }
  /// Samples that do not count have no gradient.
  void clear_ignored(const RowOptions& options) const {
    for (std::size_t i = 0; i < student.rows; ++i) {
      if (wants_gradient() && !grad.accumulate && options.weights && options.weights[i] == 0) fill_row(grad.view, i, 0);
    }
  }
};

/// The bytes of workspace of a loss that keeps `memory` in C, for matrices of these shapes.
template <class C, class Student, class Teacher>
std::size_t workspace_size(BatchMemory memory, const Student& student_matrix, const Teacher& teacher_matrix) {
  const auto student = as_matrix(student_matrix);
  const auto teacher = as_matrix(teacher_matrix);
  return batch_bytes<C>(memory, student.rows, std::max<std::size_t>(student.cols, teacher.cols));
}

template <class C, class Student, class Teacher, class Grad>
auto checked_batch(const char* who, double weight, BatchMemory memory, const Student& student_matrix,
                   const Teacher& teacher_matrix, Grad&& gradient, const RowOptions& options) {
  const auto student = detail::read_only(as_matrix(student_matrix));
  const auto teacher = detail::read_only(as_matrix(teacher_matrix));
  detail::require_finite(who, "weight", weight);
  detail::require_view(who, "student", student);
  detail::require_view(who, "teacher", teacher);
  if (teacher.rows != student.rows) {
    detail::fail(who, "teacher has ", teacher.rows, " rows, student has ", student.rows);
  }
  const auto grad = detail::checked_gradient(who, student, gradient, teacher);
  detail::require_weights(who, options.weights, student.rows);
  const std::size_t needed = workspace_size<C>(memory, student, teacher);
  if (options.workspace.data && options.workspace.bytes < needed) {
    detail::fail(who, "workspace has ", options.workspace.bytes, " bytes, expected at least ", needed);
  }
  using S = std::remove_pointer_t<decltype(student.data)>;
  using T = std::remove_pointer_t<decltype(teacher.data)>;
  return BatchCall<S, T, std::remove_const_t<S>>{student, teacher, grad};
}

/// What numbers of two matrices are computed in.
template <class Student, class Teacher>
using batch_compute_t =
    detail::compute_t<std::remove_pointer_t<decltype(as_matrix(std::declval<const Student&>()).data)>,
                      std::remove_pointer_t<decltype(as_matrix(std::declval<const Teacher&>()).data)>>;

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
