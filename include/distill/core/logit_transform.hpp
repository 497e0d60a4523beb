// The transform of logits before a loss applies its temperature.
#pragma once

#include <cmath>
#include <limits>

#include <distill/core/checks.hpp>
#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Whether each row of logits is standardised to mean 0 and deviation 1; the name is the divisor of the variance.
enum class Standardize {
  none,
  biased,    ///< the number of classes
  unbiased,  ///< the number of classes - 1
};

/// How a loss transforms the logits z of both student and teacher; the student's gradient goes through all steps:
///
///     z1 = scale * z,    z2 = soft_cap * tanh(z1 / soft_cap),    z3 = (z2 - mean(z2)) / (deviation(z2) + epsilon)
///
/// Classes of -infinity are masked: they stay -infinity and are left out of mean and deviation. A row of equal logits
/// becomes zeros with gradient 0. Log-probabilities (see log_probabilities()) are only standardised.
///
/// Papers      soft cap: Gemma 2 (arXiv:2408.00118); standardising: Sun, Ren, Li, Wang, Cao: Logit Standardization in
///             Knowledge Distillation, 2024 (arXiv:2403.01427), which is {.standardize = Standardize::unbiased}
struct LogitTransform {
  double scale = 1;
  double soft_cap = std::numeric_limits<double>::infinity();
  Standardize standardize = Standardize::none;
  double epsilon = 1e-7;

  bool is_identity() const { return scale == 1 && std::isinf(soft_cap) && standardize == Standardize::none; }
};

namespace detail {

inline void require_transform(const char* who, const LogitTransform& transform) {
  require_positive_finite(who, "logits.scale", transform.scale);
  if (!(transform.soft_cap > 0)) {
    fail(who, "logits.soft_cap is ", transform.soft_cap, ", expected a positive number, or infinity for none");
  }
  require_nonnegative_finite(who, "logits.epsilon", transform.epsilon);
}

}  // namespace detail
}  // namespace DISTILL_ABI
}  // namespace distill
