// The generalised Jensen-Shannon divergence.
#pragma once

#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// What JensenShannon gives at beta = 0 and beta = 1.
enum class JensenShannonEnds {
  kl,          ///< KL(p || q) at 0, KL(q || p) at 1
  continuous,  ///< 0, as the formula
};

/// The generalised Jensen-Shannon divergence between student and teacher, bounded by ln 2:
///
///     loss = weight * S / divisor * sum_i w_i JSD(p_i, q_i)
///     JSD(p, q) = beta KL(p || m) + (1 - beta) KL(q || m),    m = beta p + (1 - beta) q
///     p = softmax(teacher / T), q = softmax(student / T), S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      as KlDivergence; the teacher may be log_probabilities(x), or several teachers with weights
///             (core/teachers.hpp)
/// Ranges      0 < temperature <= 1e150, beta in [0, 1], weight finite; the loss is from 0 to S times the entropy of
///             (beta, 1 - beta) times weight, at most S ln 2; at the ends with `ends` of kl it is >= 0
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * S / T * (1 - beta) q_ij (ln(q_ij / m_ij) - KL(q_i || m_i))
/// Infinities  -infinity never makes the loss infinite for 0 < beta < 1; at the ends as KlDivergence and ReverseKl
/// Throws      std::invalid_argument for a parameter out of range and wherever KlDivergence throws; before anything is
///             written
/// Accuracy    that of Precision::high
/// Cost        two reads of student and teacher, one write of grad; scratch: three rows of the computed type
/// Conventions beta is the teacher's share, as in GKD, TRL and Liger; distillm's lam is 1 - beta. At beta = 0 and 1 the
///             formula is 0. `ends` of kl, the default, gives KL(p || q) and KL(q || p) there, as those three do: the
///             limits of JSD / beta and of JSD / (1 - beta), so a beta near 0 does not approximate beta = 0.
///             `ends` of continuous gives 0
/// Paper       Agarwal et al.: On-Policy Distillation of Language Models (GKD), 2024 (arXiv:2306.13649)
struct JensenShannon {
  double temperature = 1;
  bool scale_by_temperature_squared = true;
  double beta = 0.5;
  JensenShannonEnds ends = JensenShannonEnds::kl;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  LogitTransform logits = {};

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    constexpr const char* who = "JensenShannon";
    detail::require_unit_interval(who, "beta", beta);
    if (ends != JensenShannonEnds::kl && ends != JensenShannonEnds::continuous) {
      detail::fail(who, "ends is ", static_cast<int>(ends), ", expected a JensenShannonEnds");
    }
    if (beta == 0 && ends == JensenShannonEnds::kl) {
      return detail::divergence(who, *this, kernels::ForwardKlTerm{}, student, teacher, grad, options);
    }
    if (beta == 1 && ends == JensenShannonEnds::kl) {
      return detail::divergence(who, *this, kernels::ReverseKlTerm{}, student, teacher, grad, options);
    }
    return detail::divergence(who, *this, kernels::JensenShannonTerm{beta}, student, teacher, grad, options);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
