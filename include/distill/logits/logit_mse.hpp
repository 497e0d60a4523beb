// The squared distance between class scores.
#pragma once

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/feature_row.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Squared distance between logits, without a softmax:
///
///     loss = weight / divisor * sum_i w_i sum_j ((student_ij - teacher_ij) / T)^2
///
/// Shapes      as KlDivergence; there may be several teachers with weights (core/teachers.hpp). Log-probabilities
///             throw: they are not logits
/// Ranges      temperature > 0 and finite, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * 2 / T^2 * (student_ij - teacher_ij)
/// Infinities  a class of -infinity in both contributes 0; a row with another infinity or NaN has loss and gradient NaN
/// Throws      std::invalid_argument for a parameter out of range and wherever KlDivergence throws; before anything is
///             written
/// Cost        two reads of student and teacher, one write of grad; scratch: only for masked classes and transforms
/// Conventions Reduction::per_element, the default, is the mean over rows and classes. There is no T^2: temperature
///             only divides the logits
/// Paper       Ba, Caruana: Do Deep Nets Really Need to be Deep?, 2014 (arXiv:1312.6184)
struct LogitMse {
  double temperature = 1;
  double weight = 1;
  Reduction reduction = Reduction::per_element;
  LogitTransform logits = {};

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    constexpr const char* who = "LogitMse";
    detail::require_positive_finite(who, "temperature", temperature);
    detail::require_logits(who, teacher);
    return compute(detail::checked_call(who, *this, student, teacher, grad, options), options);
  }

 private:
  template <class S, class T, class G>
  double compute(const detail::TeacherCall<S, T, G>& call, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const double scale = 1 / (temperature * temperature);
    return kernels::reduce_teacher_rows<true, L>(
        *this, call, kernels::NoLabels{}, options, call.student.cols,
        [&](const auto& row, double factor, const auto& grad) {
          return kernels::for_each_teacher(row, grad, [&](auto* teacher, double w, const auto& to) {
            return scale *
                   kernels::unmasked_row<L>(row.student, teacher, row.n, to, [&](auto* s, auto* t, const auto& g) {
                     return kernels::difference_row<L>(kernels::SquaredDifference{}, s, t, row.n, scale * w * factor,
                                                       g);
                   });
          });
        });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
