// The weighted sum of forward and reverse KL.
#pragma once

#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Forward and reverse KL divergence, weighted:
///
///     loss = weight * S / divisor * sum_i w_i (forward_weight KL(p_i || q_i) + (1 - forward_weight) KL(q_i || p_i))
///     p = softmax(teacher / T), q = softmax(student / T), S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      as KlDivergence; the teacher may be log_probabilities(x), or several teachers with weights
///             (core/teachers.hpp)
/// Ranges      0 < temperature <= 1e150, forward_weight in [0, 1], weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    forward_weight times KlDivergence's + (1 - forward_weight) times ReverseKl's
/// Infinities  as KlDivergence and ReverseKl; a direction of weight 0 counts as 0 even where it is infinite
/// Throws      std::invalid_argument for a parameter out of range and wherever KlDivergence throws; before anything is
///             written
/// Accuracy    that of Precision::high
/// Cost        two reads of student and teacher, one write of grad; scratch: three rows of the computed type
/// Conventions forward_weight weights KL(teacher || student), like torchtune's sym_kd_ratio; distillm's lam is 1 -
///             forward_weight. Both leave out the teacher's entropy: subtract_teacher_entropy = false has -sum p ln q
///             in place of KL(p || q), with the same gradient. 1/2 gives half of Jeffreys' divergence
/// Paper       Jeffreys: An invariant form for the prior probability in estimation problems, 1946
struct SymmetricKl {
  double temperature = 1;
  bool scale_by_temperature_squared = true;
  double forward_weight = 0.5;
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
    constexpr const char* who = "SymmetricKl";
    detail::require_unit_interval(who, "forward_weight", forward_weight);
    const double entropy = subtract_teacher_entropy ? 0 : forward_weight;
    if (forward_weight == 1) {
      return detail::divergence(who, *this, kernels::ForwardKlTerm{}, student, teacher, grad, options, entropy);
    }
    if (forward_weight == 0) {
      return detail::divergence(who, *this, kernels::ReverseKlTerm{}, student, teacher, grad, options);
    }
    const kernels::SymmetricKlTerm term{forward_weight, 1 - forward_weight};
    return detail::divergence(who, *this, term, student, teacher, grad, options, entropy);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
