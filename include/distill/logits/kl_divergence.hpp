// KL(teacher || student) between softened class scores.
#pragma once

#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/scores/kl_row.hpp>
#include <distill/kernels/scores/short_rows.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Kullback-Leibler divergence of the student from the teacher, both softened by a temperature:
///
///     loss = weight * S / divisor * sum_i w_i KL(p_i || q_i),    KL(p || q) = sum_j p_ij (ln p_ij - ln q_ij)
///     p = softmax(teacher / T), q = softmax(student / T), S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      student, teacher, grad: rows x cols (one sample per row) of raw scores: float, double, half or bfloat16;
///             the teacher's type may differ, grad has the student's. Computed in double if either is double, else in
///             float. The teacher may be log_probabilities(x), or several teachers with weights (core/teachers.hpp)
/// Ranges      0 < temperature <= 1e150, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    d loss / d student_ij = weight * w_i / divisor * S / T * (q_ij - p_ij)
/// Infinities  -infinity in the teacher: p = 0, no contribution; in the student where p > 0: loss +infinity, gradient
///             finite. A row with NaN or +infinity, or with nothing but -infinity, has a loss and gradient of NaN. A
///             probability is > 0 from the smallest normal number of the computed type on (float: 1.2e-38, that is e^-87;
///             double: 2.2e-308); whether a smaller one counts is not defined
/// Throws      std::invalid_argument on a parameter out of range, shapes that differ, 0 columns, null, a stride below
///             cols, memory that overlaps, row weights of another length, negative or not finite; before anything is
///             written
/// Cost        one read of student and teacher, one write of grad (Precision::high: two reads); scratch: two rows of
///             the computed type, or one of long double if the row is not for lanes; rows of up to 128 classes are computed one per lane, and need four numbers for each.
///             Above T = 32 Precision::high is always used: S would amplify the rounding of standard
/// Conventions the defaults give PyTorch's kl_div(log q, p, reduction='batchmean') * T^2; its 'mean' is
///             Reduction::per_element. subtract_teacher_entropy = false gives the cross entropy -sum p ln q, with the
///             same gradient
/// Paper       Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015 (arXiv:1503.02531)
struct KlDivergence {
  double temperature = 1;
  bool scale_by_temperature_squared = true;
  bool subtract_teacher_entropy = true;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  Precision precision = Precision::standard;
  LogitTransform logits = {};

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    constexpr const char* who = "KlDivergence";
    detail::require_temperature(who, temperature);
    return compute(detail::checked_call(who, *this, student, teacher, grad, options), options);
  }

 private:
  template <class S, class T, class G>
  double compute(const detail::TeacherCall<S, T, G>& call, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const double scale = kernels::soft_scale(*this);
    const bool is_high = kernels::needs_high_precision(precision, temperature);
    // several teachers share the student's sums there, which saves most where rows are short
    if (call.teachers.is_list() && (is_high || call.student.cols <= kernels::longest_short_row)) {
      return detail::reduce_divergence(*this, kernels::ForwardKlTerm{}, subtract_teacher_entropy ? 0 : 1, call,
                                       options);
    }
    return kernels::with_precision<L>(is_high, [&](auto chosen) {
      if (subtract_teacher_entropy && kernels::has_short_rows<L>(*this, call)) {
        return kernels::reduce_short_rows<decltype(chosen)::value, false, L>(
            *this, call, kernels::NoLabels{}, {scale * call.teachers[0].weight}, options);
      }
      if (subtract_teacher_entropy && kernels::has_few_long_rows(*this, call, options)) {
        return kernels::reduce_long_rows(*this, call, kernels::NoLabels{}, options, [&](const auto& row) {
          return kernels::make_kl_row<decltype(chosen)::value, false, L>(row, temperature, {scale});
        });
      }
      return kernels::reduce_teacher_rows<true, L>(
          *this, call, kernels::NoLabels{}, options, call.student.cols,
          [&](const auto& row, double factor, const auto& grad) {
            const double constant = subtract_teacher_entropy ? 0 : detail::teacher_entropy<L>(row, temperature);
            return scale * constant +
                   kernels::for_each_teacher(row, grad, [&](auto* teacher, double w, const auto& to) {
                     return kernels::kl_row<decltype(chosen)::value, false, L>(row.with(teacher), temperature, {scale},
                                                                               w * factor, to);
                   });
          });
    });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
