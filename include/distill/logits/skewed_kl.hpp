// KL(teacher || mixture of teacher and student).
#pragma once

#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// KL divergence from the teacher to a mixture of teacher and student: finite, with a bounded gradient, where the
/// student's probabilities vanish:
///
///     loss = weight * S / divisor * sum_i w_i KL(p_i || m_i),    m = skew p + (1 - skew) q
///     p = softmax(teacher / T), q = softmax(student / T), S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      as KlDivergence; the teacher may be log_probabilities(x), or several teachers with weights
///             (core/teachers.hpp)
/// Ranges      0 < temperature <= 1e150, skew in [0, 1], weight finite; the loss is from 0 to S ln(1 / skew) times
///             weight (with subtract_teacher_entropy), and 0 where p = q
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * S / T * (1 - skew) q_ij (r_ij - sum_k q_ik r_ik),    r = 1 - p / m
/// Infinities  skew > 0: -infinity never makes the loss infinite; skew = 0: as KlDivergence
/// Throws      std::invalid_argument for a parameter out of range and wherever KlDivergence throws; before anything is
///             written
/// Accuracy    that of Precision::high
/// Cost        two reads of student and teacher, one write of grad; scratch: three rows of the computed type
/// Conventions skew is the teacher's share (DistiLLM's lam). DistiLLM's own code leaves out the teacher's entropy:
///             subtract_teacher_entropy = false gives -sum p ln m, with the same gradient
/// Paper       Ko, Kim, Chen, Yun: DistiLLM, 2024 (arXiv:2402.03898)
struct SkewedKl {
  double temperature = 1;
  bool scale_by_temperature_squared = true;
  double skew = 0.1;
  bool subtract_teacher_entropy = true;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  LogitTransform logits = {};

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    constexpr const char* who = "SkewedKl";
    detail::require_unit_interval(who, "skew", skew);
    const double entropy = subtract_teacher_entropy ? 0 : 1;
    if (skew == 0) {
      return detail::divergence(who, *this, kernels::ForwardKlTerm{}, student, teacher, grad, options, entropy);
    }
    return detail::divergence(who, *this, kernels::SkewedKlTerm{skew}, student, teacher, grad, options, entropy);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
