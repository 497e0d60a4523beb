// Argument checks: each names the argument, what it was and what was expected, before anything is written.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <distill/core/error.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace detail {

template <class T>
void require_matrix(const char* who, const char* name, const MatrixView<T>& m) {
  static_assert(format_of<T> != Format::unsupported,
                "distill: scalars are float, double, half or bfloat16 (or a two-byte type that StorageFormat knows)");
  if (m.cols == 0) fail(who, name, " has 0 columns, expected at least 1");
  if (m.rows == 0) return;
  if (m.data == nullptr) fail(who, name, " is null, expected ", m.rows, " x ", m.cols, " elements");
  if (m.row_stride < m.cols) {
    fail(who, name, " has a row stride of ", m.row_stride, ", expected at least its ", m.cols, " columns");
  }
  if (m.row_stride > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(T) / m.rows) {
    fail(who, name, " has ", m.rows, " rows of stride ", m.row_stride, ", expected a size that fits into memory");
  }
}

template <class A, class B>
void require_same_shape(const char* who, const char* a_name, const MatrixView<A>& a, const char* b_name,
                        const MatrixView<B>& b) {
  if (a.rows != b.rows) fail(who, a_name, " has ", a.rows, " rows, ", b_name, " has ", b.rows);
  if (a.cols != b.cols) fail(who, a_name, " has ", a.cols, " columns, ", b_name, " has ", b.cols);
}

/// Whether any element lies in both: rows that interleave without touching do not overlap.
template <class A, class B>
bool overlap(const MatrixView<A>& a, const MatrixView<B>& b) {
  if (a.rows == 0 || b.rows == 0) return false;
  const auto begin = [](const auto& m, std::size_t i) { return reinterpret_cast<std::uintptr_t>(m.row(i)); };
  const auto end = [](const auto& m, std::size_t i) { return reinterpret_cast<std::uintptr_t>(m.row(i) + m.cols); };
  if (end(a, a.rows - 1) <= begin(b, 0) || end(b, b.rows - 1) <= begin(a, 0)) return false;
  const std::size_t b_stride = b.row_stride * sizeof(B);
  for (std::size_t i = 0; i < a.rows; ++i) {
    if (end(a, i) <= begin(b, 0)) continue;
    // the first row of b that ends behind where this row of a begins
    const std::uintptr_t first_end = end(b, 0);
    const std::size_t k = begin(a, i) < first_end ? 0 : (begin(a, i) - first_end) / b_stride + 1;
    if (k < b.rows && begin(b, k) < end(a, i)) return true;
  }
  return false;
}

/// `in_place`: whether `grad` may be exactly the memory of this input.
template <class G, class T>
void require_no_overlap(const char* who, const char* grad_name, const MatrixView<G>& grad, const char* name,
                        const MatrixView<T>& input, bool in_place) {
  if (in_place && std::is_same_v<std::remove_const_t<G>, std::remove_const_t<T>> &&
      static_cast<const void*>(grad.data) == static_cast<const void*>(input.data) &&
      (grad.row_stride == input.row_stride || grad.rows == 1)) {
    return;
  }
  if (overlap(grad, input)) {
    fail(who, grad_name, " overlaps ", name, ", expected ",
         in_place ? "separate memory or exactly the same" : "separate memory");
  }
}

/// Compares values, not bit patterns: no unsigned label equals a negative `ignore_label`.
template <class L>
bool is_ignored(L label, std::int64_t ignore_label) {
  if constexpr (std::is_unsigned_v<L>) {
    return ignore_label >= 0 && static_cast<std::uint64_t>(label) == static_cast<std::uint64_t>(ignore_label);
  } else {
    return static_cast<std::int64_t>(label) == ignore_label;
  }
}

template <class L>
void require_labels(const char* who, const LabelsView<L>& labels, std::size_t rows, std::size_t cols,
                    std::int64_t ignore_label) {
  if (labels.size != rows) fail(who, "labels has ", labels.size, " entries, student has ", rows, " rows");
  if (rows != 0 && labels.data == nullptr) fail(who, "labels is null, expected ", rows, " entries");
  for (std::size_t i = 0; i < rows; ++i) {
    const L label = labels.data[i];
    if (is_ignored(label, ignore_label)) continue;
    if (label < L{0} || static_cast<std::uint64_t>(label) >= cols) {
      fail(who, "labels[", i, "] is ", +label, ", expected 0 to ", cols - 1, " or ignore_label (", ignore_label, ")");
    }
  }
}

/// What the caller passed as `grad`, checked: writable, of the student's type and shape, and clear of the teacher.
template <class Student, class Grad, class... Teacher>
auto checked_gradient(const char* who, const MatrixView<Student>& student, Grad&& grad, const Teacher&... teacher) {
  using Scalar = std::remove_const_t<Student>;
  auto target = gradient_target<Scalar>(grad);
  static_assert(std::is_same_v<decltype(target), GradientTarget<Scalar>>,
                "distill: the gradient must be writable and of the student's scalar type");
  if constexpr (!std::is_same_v<std::decay_t<Grad>, NoGradient>) {
    require_matrix(who, "grad", target.view);
    require_same_shape(who, "grad", target.view, "student", student);
    require_no_overlap(who, "grad", target.view, "student", student, true);
    (require_no_overlap(who, "grad", target.view, "teacher", teacher, false), ...);
  }
  return target;
}

inline void require_weights(const char* who, const float* weights, std::size_t rows) {
  if (weights == nullptr) return;
  for (std::size_t i = 0; i < rows; ++i) {
    if (!(weights[i] >= 0) || !std::isfinite(weights[i])) {
      fail(who, "weights[", i, "] is ", weights[i], ", expected a finite number of at least 0");
    }
  }
}

}  // namespace detail
}  // namespace DISTILL_ABI
}  // namespace distill
