// Cross entropy of class scores with hard labels.
#pragma once

#include <cstddef>
#include <cstdint>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/rows/long_rows.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/scores/cross_entropy_row.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Cross entropy of the student's scores with class labels, optionally smoothed:
///
///     loss = weight / divisor * sum_i w_i CE_i,    CE_i = -sum_j t_ij ln q_ij,    q = softmax(student)
///     t_ij = (1 - label_smoothing) [j = label_i] + label_smoothing / cols
///
/// Shapes      student, grad: rows x cols (one sample per row) of raw scores: float, double, half or bfloat16; grad has
///             the student's type. labels: one integer per row, from 0 to cols - 1, or ignore_label, which gives the
///             row weight 0
/// Ranges      label_smoothing in [0, 1], weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory
/// Gradient    d loss / d student_ij = weight * w_i / divisor * (q_ij - t_ij)
/// Infinities  -infinity where t > 0: loss +infinity, gradient finite. A row with NaN or +infinity, or with nothing but
///             -infinity, has loss and gradient NaN
/// Throws      std::invalid_argument on a label or parameter out of range, shapes that differ, 0 columns, null, a
///             stride below cols, memory that overlaps, row weights of another length, negative or not finite; before
///             anything is written
/// Accuracy    the loss keeps its relative accuracy down to 1e-30: -ln q is computed as ln(1 + others / own)
/// Cost        one read of student (two with smoothing), one write of grad; scratch: one row of the computed type
/// Paper       smoothing: Szegedy et al., Rethinking the Inception Architecture, 2016 (arXiv:1512.00567)
struct CrossEntropy {
  double label_smoothing = 0;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  std::int64_t ignore_label = -100;
  Precision precision = Precision::standard;  ///< no effect at present: both meet the figures of high

  template <class Student, class Labels>
  double operator()(const Student& student, const Labels& labels, const RowOptions& options = {}) const {
    return (*this)(student, labels, detail::NoGradient{}, options);
  }

  template <class Student, class Labels, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_scores, const Labels& class_labels, Grad&& gradient,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "CrossEntropy";
    const auto student = detail::read_only(as_matrix(student_scores));
    detail::require_unit_interval(who, "label_smoothing", label_smoothing);
    detail::require_finite(who, "weight", weight);
    detail::require_view(who, "student", student);
    const auto labels = detail::checked_labels(who, as_labels(class_labels), student.rows, student.cols, ignore_label);
    const auto grad = detail::checked_gradient(who, student, gradient);
    detail::require_row_options(who, options, reduction, student, [&](std::size_t i) { return labels.is_ignored(i); });

    return compute(student, labels, grad, options);
  }

 private:
  template <class S, class Label, class G>
  double compute(const MatrixView<S>& student, const detail::RowLabels<Label>& labels,
                 const GradientTarget<MatrixView<G>>& grad, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S>, kernels::DefaultArch>;
    const kernels::RowSizes sizes{student.rows, student.cols, student.cols};
    const auto is_ignored = [&](std::size_t i) { return labels.is_ignored(i); };
    const auto row = [&](std::size_t i) {
      return kernels::CrossEntropyRow<L, G>(student.row(i), student.cols, labels.at(i), label_smoothing);
    };
    if (kernels::are_few_long_rows(student.rows, student.cols, options)) {
      return kernels::reduce_long_rows(sizes, grad, options, reduction, weight, is_ignored, row);
    }
    return kernels::reduce_rows(sizes, grad, options, reduction, weight, is_ignored, [&](std::size_t i, double factor) {
      return kernels::whole_row(row(i), factor, kernels::gradient_row(grad, i));
    });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
