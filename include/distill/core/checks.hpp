// Argument checks: each names the argument, what it was and what was expected, before anything is written.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include <distill/core/error.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace detail {

/// Rejects a T that is no scalar while the call's types are deduced, before any other check can.
template <class T>
struct has_scalars : std::true_type {
  static_assert(format_of<T> != Format::unsupported,
                "distill: scores, features and gradients are float, double, half or bfloat16. Convert others, such as "
                "integers, first; for your own two-byte type, specialise StorageFormat");
};

/// For elements of any type.
template <class T>
void require_memory(const char* who, const char* name, const MatrixView<T>& m) {
  if (m.rows == 0) return;
  if (m.cols == 0) fail(who, name, " has 0 columns, expected at least 1");
  if (m.data == nullptr) fail(who, name, " is null, expected ", m.rows, " x ", m.cols, " elements");
  if (m.row_stride < m.cols) {
    fail(who, name, " has a row stride of ", m.row_stride, ", expected at least its ", m.cols, " columns");
  }
  if (m.row_stride > static_cast<std::size_t>((std::numeric_limits<std::ptrdiff_t>::max)()) / sizeof(T) / m.rows) {
    fail(who, name, " has ", m.rows, " rows of stride ", m.row_stride, ", expected a size that fits into memory");
  }
}

template <class T>
void require_view(const char* who, const char* name, const MatrixView<T>& m) {
  static_assert(has_scalars<T>::value);
  require_memory(who, name, m);
}

/// As for a matrix; also, strides must keep the elements apart, so that a gradient can be written.
template <class T>
void require_view(const char* who, const char* name, const FeatureMapView<T>& m) {
  static_assert(has_scalars<T>::value);
  if (m.batch == 0) return;
  if (m.channels == 0) fail(who, name, " has 0 channels, expected at least 1");
  if (m.height == 0 || m.width == 0) {
    fail(who, name, " has maps of ", m.height, " x ", m.width, ", expected at least 1 x 1");
  }
  struct Dimension {
    std::size_t size, stride;
  };
  Dimension inner{m.height * m.width, m.position_stride}, outer{m.channels, m.channel_stride};
  constexpr std::size_t largest = static_cast<std::size_t>((std::numeric_limits<std::ptrdiff_t>::max)()) / sizeof(T);
  if (m.height > largest / m.width || m.channels > largest / inner.size) {
    fail(who, name, " has ", m.channels, " maps of ", m.height, " x ", m.width,
         ", expected a size that fits into memory");
  }
  if (inner.stride > outer.stride && outer.size > 1) std::swap(inner, outer);
  std::size_t reach = 1;  // elements from the first to the last so far
  for (const Dimension d : {inner, outer, Dimension{m.batch, m.batch_stride}}) {
    if (d.size == 1) continue;
    if (d.stride < reach) {
      fail(who, name, " has strides ", m.batch_stride, " (batch), ", m.channel_stride, " (channel), ",
           m.position_stride, " (position), expected strides that keep its elements apart");
    }
    if (d.stride > (largest - reach) / (d.size - 1)) {
      fail(who, name, " has strides beyond memory: ", m.batch_stride, " (batch), ", m.channel_stride, " (channel), ",
           m.position_stride, " (position)");
    }
    reach += (d.size - 1) * d.stride;
  }
  if (m.data == nullptr) {
    fail(who, name, " is null, expected ", m.batch, " x ", m.channels, " x ", m.height, " x ", m.width, " elements");
  }
}

template <class A, class B>
void require_same_batch(const char* who, const char* a_name, const FeatureMapView<A>& a, const char* b_name,
                        const FeatureMapView<B>& b) {
  if (a.batch != b.batch) fail(who, a_name, " has a batch of ", a.batch, ", ", b_name, " of ", b.batch);
}

template <class A, class B>
void require_same_channels(const char* who, const char* a_name, const FeatureMapView<A>& a, const char* b_name,
                           const FeatureMapView<B>& b) {
  if (a.channels != b.channels) fail(who, a_name, " has ", a.channels, " channels, ", b_name, " has ", b.channels);
}

template <class A, class B>
void require_same_shape(const char* who, const char* a_name, const FeatureMapView<A>& a, const char* b_name,
                        const FeatureMapView<B>& b) {
  require_same_batch(who, a_name, a, b_name, b);
  if (a.channels != b.channels || a.height != b.height || a.width != b.width) {
    fail(who, a_name, " is ", a.batch, " x ", a.channels, " x ", a.height, " x ", a.width, ", ", b_name, " is ",
         b.batch, " x ", b.channels, " x ", b.height, " x ", b.width);
  }
}

template <class A, class B>
void require_same_shape(const char* who, const char* a_name, const MatrixView<A>& a, const char* b_name,
                        const MatrixView<B>& b) {
  if (a.rows != b.rows) fail(who, a_name, " has ", a.rows, " rows, ", b_name, " has ", b.rows);
  if (a.cols != b.cols) fail(who, a_name, " has ", a.cols, " columns, ", b_name, " has ", b.cols);
}

/// Whether any element is in both: rows that interleave without touching do not overlap.
template <class A, class B>
bool overlap(const MatrixView<A>& a, const MatrixView<B>& b) {
  if (a.rows == 0 || b.rows == 0) return false;
  const auto begin = [](const auto& m, std::size_t i) { return reinterpret_cast<std::uintptr_t>(m.row(i)); };
  const auto end = [](const auto& m, std::size_t i) { return reinterpret_cast<std::uintptr_t>(m.row(i) + m.cols); };
  if (end(a, a.rows - 1) <= begin(b, 0) || end(b, b.rows - 1) <= begin(a, 0)) return false;
  const std::size_t b_stride = b.row_stride * sizeof(B);
  for (std::size_t i = 0; i < a.rows; ++i) {
    if (end(a, i) <= begin(b, 0)) continue;
    // the first row of b that ends after the beginning of this row of a
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

/// The maps as contiguous rows: exact for the usual layouts, else each sample from its first element to its last.
template <class T>
MatrixView<T> memory_rows(const FeatureMapView<T>& m) {
  const std::size_t positions = m.height * m.width;
  if (m.channel_stride == 1 && (m.batch == 1 || m.batch_stride == positions * m.position_stride)) {
    return {m.data, m.batch * positions, m.channels, m.position_stride};
  }
  if (m.position_stride == 1 && (m.batch == 1 || m.batch_stride == m.channels * m.channel_stride)) {
    return {m.data, m.batch * m.channels, positions, m.channel_stride};
  }
  return {m.data, m.batch, (m.channels - 1) * m.channel_stride + (positions - 1) * m.position_stride + 1,
          m.batch_stride};
}

template <class G, class T>
void require_no_overlap(const char* who, const char* grad_name, const FeatureMapView<G>& grad, const char* name,
                        const FeatureMapView<T>& input, bool in_place) {
  const bool same_layout = grad.position_stride == input.position_stride &&
                           grad.channel_stride == input.channel_stride && grad.batch_stride == input.batch_stride;
  require_no_overlap(who, grad_name, memory_rows(grad), name, memory_rows(input), in_place && same_layout);
}

/// One number per channel.
template <class T>
void require_channel_row(const char* who, const char* name, const MatrixView<T>& row, std::size_t channels) {
  require_view(who, name, row);
  if (row.rows != 1 || row.cols != channels) {
    fail(who, name, " is ", row.rows, " x ", row.cols, ", expected 1 x ", channels);
  }
}

/// A hint for an unsigned label that would be negative as signed; none for small types, whose large values are valid.
template <class Integer>
std::string sign_hint(Integer x) {
  using Signed = std::make_signed_t<Integer>;
  const auto as_signed = static_cast<Signed>(x);
  if (std::is_signed_v<Integer> || sizeof(Integer) < 4 || as_signed >= 0) return "";
  return " (" + std::to_string(as_signed) + " in a type without a sign)";
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
  static_assert(std::is_integral_v<L> && !std::is_same_v<L, bool>,
                "distill: labels are class indices and must be of an integer type. Convert them first");
  if (labels.size != rows) fail(who, "labels has ", labels.size, " entries, student has ", rows, " rows");
  if (rows != 0 && labels.data == nullptr) fail(who, "labels is null, expected ", rows, " entries");
  for (std::size_t i = 0; i < rows; ++i) {
    const L label = labels.data[i];
    if (is_ignored(label, ignore_label)) continue;
    if (label < L{0} || static_cast<std::uint64_t>(label) >= cols) {
      fail(who, "labels[", i, "] is ", +label, sign_hint(label), ", expected 0 to ", cols - 1, " or ignore_label (",
           ignore_label, ")");
    }
  }
}

/// How far a log-probability may be above 0 by rounding: that of a logit below 64 in bfloat16, from which it was made,
/// whatever it is stored in.
inline constexpr double log_probability_rounding = 0.125;

/// The labels of rows, checked.
template <class L>
struct RowLabels {
  LabelsView<L> labels;
  std::int64_t ignore_label;

  std::size_t at(std::size_t i) const { return static_cast<std::size_t>(labels.data[i]); }
  bool is_ignored(std::size_t i) const { return detail::is_ignored(labels.data[i], ignore_label); }
};

template <class L>
RowLabels<L> checked_labels(const char* who, const LabelsView<L>& labels, std::size_t rows, std::size_t cols,
                            std::int64_t ignore_label) {
  require_labels(who, labels, rows, cols, ignore_label);
  return {labels, ignore_label};
}

/// Checks the caller's `grad`: writable, of the student's type and shape, and not overlapping the teacher. Student is a
/// MatrixView or a FeatureMapView.
template <class Student, class Grad, class... Teacher>
auto checked_gradient(const char* who, const Student& student, Grad&& grad, const Teacher&... teacher) {
  static_assert(has_scalars<element_t<Student>>::value);
  auto target = gradient_target<writable_t<Student>>(grad);
  using View = decltype(target.view);
  static_assert(!std::is_const_v<element_t<View>>,
                "distill: this gradient is const. Pass a matrix or view that can be written to");
  static_assert(is_matrix_view<View>::value == is_matrix_view<Student>::value,
                "distill: this gradient is not of the student's kind. Pass a matrix for a matrix, feature maps for "
                "feature maps");
  static_assert(std::is_same_v<View, writable_t<Student>>,
                "distill: this gradient is not of the student's scalar type. Pass float for float, double for double, "
                "whatever the teacher's type is");
  if constexpr (!std::is_same_v<std::decay_t<Grad>, NoGradient>) {
    require_view(who, "grad", target.view);
    require_same_shape(who, "grad", target.view, "student", student);
    require_no_overlap(who, "grad", target.view, "student", student, true);
    (require_no_overlap(who, "grad", target.view, "teacher", teacher, false), ...);
  }
  return target;
}

template <class T>
const char* row_word(const MatrixView<T>&) {
  return " rows";
}
template <class T>
const char* row_word(const FeatureMapView<T>&) {
  return " samples";
}

/// One number for each of the student's rows or samples, or none.
template <class T, class Student>
void require_per_row(const char* who, const char* name, const PerRow<T>& numbers, const Student& student) {
  if (!numbers) return;
  const std::size_t rows = samples_of(student);
  if (numbers.size() != rows) {
    fail(who, name, " has ", numbers.size(), " entries, student has ", rows, row_word(student));
  }
  if (rows != 0 && numbers.data() == nullptr) fail(who, name, " is null, expected ", rows, " entries");
}

template <class Student>
void require_weights(const char* who, const PerRow<const float>& weights, const Student& student) {
  require_per_row(who, "weights", weights, student);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] >= 0) || !std::isfinite(weights[i])) {
      fail(who, "weights[", i, "] is ", weights[i], ", expected a finite number of at least 0");
    }
  }
}

/// Of no label.
inline constexpr auto no_row_is_ignored = [](std::size_t) { return false; };

/// A part of a batch weighs no more than all of it, but for rounding. `is_ignored(i)`: whether a label says so of row i.
template <class IsIgnored>
void require_total_weight(const char* who, const RowOptions& options, std::size_t rows, const IsIgnored& is_ignored) {
  if (options.total_weight == 0) return;
  double own = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    if (!is_ignored(i)) own += options.weights ? static_cast<double>(options.weights[i]) : 1;
  }
  if (own > options.total_weight * (1 + 1e-4)) {  // a sum of thousands of floats
    fail(who, "total_weight is ", options.total_weight, ", expected 0 or at least this call's own sum of weights, ",
         own);
  }
}

/// All of them but for total_weight's size.
template <class Student>
void require_own_row_options(const char* who, const RowOptions& options, Reduction reduction, const Student& student) {
  require_weights(who, options.weights, student);
  require_per_row(who, "losses", options.losses, student);
  require_nonnegative_finite(who, "total_weight", options.total_weight);
  if (options.total_weight != 0 && reduction == Reduction::sum) {
    fail(who, "total_weight is ", options.total_weight, ", expected 0 with Reduction::sum, which divides by 1");
  }
}
template <class Student, class IsIgnored>
void require_row_options(const char* who, const RowOptions& options, Reduction reduction, const Student& student,
                         const IsIgnored& is_ignored) {
  require_own_row_options(who, options, reduction, student);
  require_total_weight(who, options, samples_of(student), is_ignored);
}
template <class Student>
void require_row_options(const char* who, const RowOptions& options, Reduction reduction, const Student& student) {
  require_row_options(who, options, reduction, student, no_row_is_ignored);
}

/// For losses whose rows depend on one another.
inline void require_whole_batch(const char* who, const RowOptions& options) {
  if (options.total_weight != 0) {
    fail(who, "total_weight is ", options.total_weight,
         ", expected 0: rows depend on one another here, so a part of a batch has another loss");
  }
}

/// The checked arguments of a loss on student and teacher: matrices of one sample per row, or feature maps.
template <class Student, class Teacher>
struct PairCall {
  Student student;
  Teacher teacher;
  GradientTarget<writable_t<Student>> grad;

  bool wants_gradient() const { return grad.view.data != nullptr; }
};

/// For losses that work in the caller's memory: enough of it, and apart from all that the call reads and writes.
template <class Call>
void require_workspace(const char* who, const RowOptions& options, std::size_t needed, const Call& call) {
  const Workspace& workspace = options.workspace;
  if (workspace.data == nullptr) {
    if (workspace.bytes != 0) fail(who, "workspace is null, expected at least ", needed, " bytes");
    return;
  }
  if (workspace.bytes < needed) {
    fail(who, "workspace has ", workspace.bytes, " bytes, expected at least ", needed);
  }
  const MatrixView<const unsigned char> memory{static_cast<const unsigned char*>(workspace.data), 1, workspace.bytes};
  const auto require_apart = [&](const char* name, const auto& argument) {
    require_no_overlap(who, "workspace", memory, name, argument, false);
  };
  require_apart("student", call.student);
  require_apart("teacher", call.teacher);
  require_apart("grad", call.grad.view);
  require_apart("weights", MatrixView<const float>{options.weights.data(), 1, options.weights.size()});
  require_apart("losses", MatrixView<double>{options.losses.data(), 1, options.losses.size()});
}

/// What all losses of a student's and a teacher's view check; `require_fit(student, teacher)` is what shapes are to be,
/// and may read the row weights.
template <class Loss, class Student, class Teacher, class Grad, class Fit>
auto checked_pair(const char* who, const Loss& loss, const Student& student_view, const Teacher& teacher_view,
                  Grad&& gradient, const RowOptions& options, const Fit& require_fit) {
  const auto student = read_only(student_view);
  const auto teacher = read_only(teacher_view);
  require_finite(who, "weight", loss.weight);
  require_view(who, "student", student);
  require_view(who, "teacher", teacher);
  require_row_options(who, options, loss.reduction, student);
  require_fit(student, teacher);
  const auto grad = checked_gradient(who, student, gradient, teacher);
  return PairCall<std::remove_const_t<decltype(student)>, std::remove_const_t<decltype(teacher)>>{student, teacher,
                                                                                                  grad};
}
/// Of the same shape.
template <class Loss, class Student, class Teacher, class Grad>
auto checked_pair(const char* who, const Loss& loss, const Student& student_view, const Teacher& teacher_view,
                  Grad&& gradient, const RowOptions& options) {
  return checked_pair(who, loss, student_view, teacher_view, gradient, options,
                      [&](const auto& s, const auto& t) { require_same_shape(who, "teacher", t, "student", s); });
}

}  // namespace detail
}  // namespace DISTILL_ABI
}  // namespace distill
