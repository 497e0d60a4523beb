// KL(student || teacher) between softened class scores.
#pragma once

#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Reverse KL divergence: it seeks modes, where KlDivergence covers all of them.
///
///     loss = weight * S / divisor * sum_i w_i KL(q_i || p_i),    KL(q || p) = sum_j q_ij (ln q_ij - ln p_ij)
///     p = softmax(teacher / T), q = softmax(student / T), S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      as KlDivergence; the teacher may be log_probabilities(x), or several teachers with weights
/// Ranges      0 < temperature <= 1e150, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * S / T * q_ij (ln q_ij - ln p_ij - KL(q_i || p_i))
/// Infinities  -infinity in the student: q = 0, no contribution; in the teacher where q > 0: loss +infinity, and the
///             gradient is that of the other classes' terms. Else as KlDivergence, also from which probability on q > 0
/// Throws      as KlDivergence
/// Accuracy    that of Precision::high
/// Cost        two reads of student and teacher, one write of grad; scratch: three rows of the computed type
/// Conventions without T^2: scale_by_temperature_squared = false. The teacher's entropy does not occur
/// Paper       Gu, Dong, Wei, Huang: MiniLLM, 2024 (arXiv:2306.08543)
struct ReverseKl {
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
    return detail::divergence("ReverseKl", *this, kernels::ReverseKlTerm{}, student, teacher, grad, options);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
