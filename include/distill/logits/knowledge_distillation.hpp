// The classic of distillation: soft targets from the teacher and hard labels, mixed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/distillation_row.hpp>
#include <distill/kernels/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// The teacher's soft targets and the hard labels, mixed, in one pass over the scores:
///
///     loss = weight / divisor * sum_i w_i (alpha T^2 KL(p_i || q_i) + (1 - alpha) CE_i)
///     p = softmax(teacher / T), q = softmax(student / T), CE_i = -ln softmax(student_i)[label_i] at temperature 1
///
/// Shapes      student, teacher, grad: rows x cols (one sample a row) of raw scores: float, double, half or bfloat16;
///             the teacher's type is free, grad has the student's. If either is double, all is computed in double, else
///             in float. labels: rows integers from 0 to cols - 1, or ignore_label: that row counts as of weight 0, for
///             both terms
/// Ranges      temperature > 0 and finite, alpha in [0, 1], weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student, or is added to with add_to(grad). grad may be
///             exactly the student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * (alpha T (q_ij - p_ij) + (1 - alpha) (softmax(student_i)_j - [j = label_i]))
/// Infinities  as KlDivergence and CrossEntropy; a term of factor 0 counts as 0 even where it is infinite
/// Throws      std::invalid_argument on a label or parameter out of range, shapes that differ, 0 columns, null, a
///             stride below cols, memory that overlaps, a row weight that is negative or not finite; before anything is
///             written
/// Cost        one read of student and teacher, one write of grad (Precision::high: two reads); scratch: three rows of
///             the computed type. Above T = 32 Precision::high is always used
/// Conventions alpha weights the teacher's term; where published code weights the labels, write 1 - alpha. Both terms
///             have the same divisor. T^2 is always on; without it: KlDivergence and CrossEntropy, added
/// Paper       Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015 (arXiv:1503.02531)
struct KnowledgeDistillation {
  double temperature = 4;
  double alpha = 0.9;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  std::int64_t ignore_label = -100;
  Precision precision = Precision::standard;

  template <class Student, class Teacher, class Labels>
  double operator()(const Student& student, const Teacher& teacher, const Labels& labels,
                    const RowOptions& options = {}) const {
    return (*this)(student, teacher, labels, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Labels, class Grad, class = detail::enable_if_not_options<Grad>>
  double operator()(const Student& student_scores, const Teacher& teacher_scores, const Labels& class_labels,
                    Grad&& gradient, const RowOptions& options = {}) const {
    constexpr const char* who = "KnowledgeDistillation";
    const auto student = detail::read_only(as_matrix(student_scores));
    const auto teacher = detail::read_only(as_matrix(teacher_scores));
    const auto labels = as_labels(class_labels);
    detail::require_positive_finite(who, "temperature", temperature);
    detail::require_unit_interval(who, "alpha", alpha);
    detail::require_finite(who, "weight", weight);
    detail::require_view(who, "student", student);
    detail::require_view(who, "teacher", teacher);
    detail::require_same_shape(who, "teacher", teacher, "student", student);
    detail::require_labels(who, labels, student.rows, student.cols, ignore_label);
    const auto grad = detail::checked_gradient(who, student, gradient, teacher);
    detail::require_weights(who, options.weights, student.rows);

    return compute(student, teacher, labels, grad, options);
  }

 private:
  template <class S, class T, class Label, class G>
  double compute(const MatrixView<S>& student, const MatrixView<T>& teacher, const LabelsView<Label>& labels,
                 const GradientTarget<MatrixView<G>>& grad, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const kernels::RowFactors factors{alpha * temperature * temperature, 1 - alpha};
    return kernels::with_precision(kernels::needs_high_precision(precision, temperature), [&](auto chosen) {
      return kernels::reduce_rows(
          {student.rows, student.cols, student.cols}, grad, options, reduction, weight,
          [&](std::size_t i) { return detail::is_ignored(labels.data[i], ignore_label); },
          [&](std::size_t i, double factor) {
            kernels::DistillationRow<decltype(chosen)::value, true, L, G, std::remove_const_t<T>> row(
                student.row(i), teacher.row(i), student.cols, temperature, static_cast<std::size_t>(labels.data[i]));
            return row(factors, factor, grad.view.data ? grad.view.row(i) : nullptr, grad.accumulate);
          });
    });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
