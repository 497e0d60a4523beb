// KL(student || mixture of student and teacher).
#pragma once

#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// KL divergence from the student to a mixture of teacher and student: finite, with a bounded gradient, where the
/// teacher's probabilities vanish:
///
///     loss = weight * S / divisor * sum_i w_i KL(q_i || m_i),    m = (1 - skew) p + skew q
///     p = softmax(teacher / T), q = softmax(student / T), S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      as KlDivergence; the teacher may be log_probabilities(x), or several teachers with weights
///             (core/teachers.hpp)
/// Ranges      0 < temperature <= 1e150, skew in [0, 1], weight finite; the loss is from 0 to S ln(1 / skew) times
///             weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * S / T * q_ij (h_ij - sum_k q_ik h_ik),    h = ln(q / m) - skew q / m
/// Infinities  skew > 0: -infinity never makes the loss infinite; skew = 0: as ReverseKl
/// Throws      std::invalid_argument for a parameter out of range and wherever KlDivergence throws; before anything is
///             written
/// Accuracy    that of Precision::high
/// Cost        two reads of student and teacher, one write of grad; scratch: three rows of the computed type
/// Conventions skew is the student's share (DistiLLM's lam)
/// Paper       Ko, Kim, Chen, Yun: DistiLLM, 2024 (arXiv:2402.03898)
struct SkewedReverseKl {
  double temperature = 1;
  bool scale_by_temperature_squared = true;
  double skew = 0.1;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  LogitTransform logits = {};

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    constexpr const char* who = "SkewedReverseKl";
    detail::require_unit_interval(who, "skew", skew);
    if (skew == 0) return detail::divergence(who, *this, kernels::ReverseKlTerm{}, student, teacher, grad, options);
    return detail::divergence(who, *this, kernels::SkewedReverseKlTerm{skew}, student, teacher, grad, options);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
