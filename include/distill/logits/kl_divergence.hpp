// KL(teacher || student) between softened class scores.
#pragma once

#include <cstddef>
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

/// Kullback-Leibler divergence of the student from the teacher, both softened by a temperature:
///
///     loss = weight * S / divisor * sum_i w_i KL(p_i || q_i),    KL(p || q) = sum_j p_ij (ln p_ij - ln q_ij)
///     p = softmax(teacher / T), q = softmax(student / T), S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      student, teacher, grad: rows x cols (one sample a row) of raw scores: float, double, half or bfloat16;
///             the teacher's type is free, grad has the student's. If either is double, all is computed in double, else
///             in float
/// Ranges      temperature > 0 and finite, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student, or is added to with add_to(grad). grad may be
///             exactly the student's memory. The teacher is a constant
/// Gradient    d loss / d student_ij = weight * w_i / divisor * S / T * (q_ij - p_ij)
/// Infinities  -infinity in the teacher: p = 0, no contribution; in the student where p > 0: loss +infinity, gradient
///             finite. A row with NaN or +infinity, or with nothing but -infinity, has a loss and gradient of NaN
/// Throws      std::invalid_argument on a parameter out of range, shapes that differ, 0 columns, null, a stride below
///             cols, memory that overlaps, a row weight that is negative or not finite; before anything is written
/// Cost        one read of student and teacher, one write of grad (Precision::high: two reads); scratch: two rows of
///             the computed type. Above T = 32 Precision::high is always used: S would amplify the rounding of standard
/// Conventions PyTorch's kl_div(log q, p, reduction='batchmean') * T^2 is this with the defaults; 'mean' there is
///             Reduction::per_element
/// Paper       Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015 (arXiv:1503.02531)
struct KlDivergence {
  double temperature = 1;
  bool scale_by_temperature_squared = true;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  Precision precision = Precision::standard;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_not_options<Grad>>
  double operator()(const Student& student_scores, const Teacher& teacher_scores, Grad&& gradient,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "KlDivergence";
    const auto student = detail::read_only(as_matrix(student_scores));
    const auto teacher = detail::read_only(as_matrix(teacher_scores));
    detail::require_positive_finite(who, "temperature", temperature);
    detail::require_finite(who, "weight", weight);
    detail::require_view(who, "student", student);
    detail::require_view(who, "teacher", teacher);
    detail::require_same_shape(who, "teacher", teacher, "student", student);
    const auto grad = detail::checked_gradient(who, student, gradient, teacher);
    detail::require_weights(who, options.weights, student.rows);

    return compute(student, teacher, grad, options);
  }

 private:
  template <class S, class T, class G>
  double compute(const MatrixView<S>& student, const MatrixView<T>& teacher, const GradientTarget<MatrixView<G>>& grad,
                 const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const double scale = scale_by_temperature_squared ? temperature * temperature : 1;
    return kernels::with_precision(kernels::needs_high_precision(precision, temperature), [&](auto chosen) {
      return kernels::reduce_rows(
          {student.rows, student.cols, student.cols}, grad, options, reduction, weight,
          [](std::size_t) { return false; },
          [&](std::size_t i, double factor) {
            kernels::DistillationRow<decltype(chosen)::value, false, L, G, std::remove_const_t<T>> row(
                student.row(i), teacher.row(i), student.cols, temperature, kernels::none);
            return row({scale}, factor, grad.view.data ? grad.view.row(i) : nullptr, grad.accumulate);
          });
    });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
