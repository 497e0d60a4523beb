// Amari's alpha-divergence between softened class scores.
#pragma once

#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Amari's alpha-divergence, from KL(q || p) (alpha = 0) via four times the squared Hellinger distance (1/2) to KL(p ||
/// q) (alpha = 1) and beyond:
///
///     loss = weight * S / divisor * sum_i w_i D(p_i, q_i)
///     D(p, q) = (sum_j p_j^alpha q_j^(1 - alpha) - 1) / (alpha (alpha - 1))
///     p = softmax(teacher / T), q = softmax(student / T), S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      as KlDivergence; the teacher may be log_probabilities(x), or several teachers with weights
///             (core/teachers.hpp)
/// Ranges      0 < temperature <= 1e150, alpha finite, weight finite; the loss is >= 0 times weight, and with
///             0 < alpha < 1 at most S / (alpha (1 - alpha)) times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * S / T * q_ij (h_ij - sum_k q_ik h_ik),    h = -(p / q)^alpha / alpha, ln(q / p)
///             at alpha = 0
/// Infinities  -infinity in the student where p > 0: loss +infinity if alpha >= 1; in the teacher where q > 0: if alpha
///             <= 0. The gradient is finite. From which probability on p or q is > 0: see KlDivergence
/// Throws      std::invalid_argument for a parameter out of range and wherever KlDivergence throws; before anything is
///             written
/// Accuracy    that of Precision::high
/// Cost        two reads of student and teacher, one write of grad; scratch: three rows of the computed type
/// Conventions alpha as in Minka's and Hernandez-Lobato's D_alpha; alpha = 0 and 1 are the limits, not special cases.
///             Amari's own parameter is 2 alpha - 1
/// Paper       Amari: Differential-Geometrical Methods in Statistics, 1985; for distillation: Wang et al.: AlphaNet,
///             2021 (arXiv:2102.07954)
struct AlphaDivergence {
  double temperature = 1;
  bool scale_by_temperature_squared = true;
  double alpha = 0.5;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  LogitTransform logits = {};

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    detail::require_finite("AlphaDivergence", "alpha", alpha);
    return detail::divergence("AlphaDivergence", *this, kernels::AlphaTerm{alpha}, student, teacher, grad, options);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
