// Total variation distance between softened class scores.
#pragma once

#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Total variation distance, the largest difference in the probability of any event; at most 1:
///
///     loss = weight * S / divisor * sum_i w_i TV(p_i, q_i),    TV(p, q) = sum_j |p_j - q_j| / 2
///     p = softmax(teacher / T), q = softmax(student / T), S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      as KlDivergence; the teacher may be log_probabilities(x), or several teachers with weights
///             (core/teachers.hpp)
/// Ranges      0 < temperature <= 1e150, weight finite; the loss is from 0 to S times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * S / T * q_ij (s_ij - sum_k q_ik s_ik),    s = sign(q - p) / 2, 0 where p = q
/// Infinities  -infinity never makes the loss infinite
/// Throws      std::invalid_argument for a parameter out of range and wherever KlDivergence throws; before anything is
///             written
/// Accuracy    that of Precision::high
/// Cost        two reads of student and teacher, one write of grad; scratch: three rows of the computed type
/// Conventions the factor 1/2 is included
/// Paper       Wen, Li, Du, Mou: f-Divergence Minimization for Sequence-Level Knowledge Distillation, 2023
///             (arXiv:2307.15190)
struct TotalVariation {
  double temperature = 1;
  bool scale_by_temperature_squared = true;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  LogitTransform logits = {};

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    return detail::divergence("TotalVariation", *this, kernels::TotalVariationTerm{}, student, teacher, grad, options);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
