#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/alpha_divergence.hpp>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

namespace {

support::RowFormula alpha_divergence(long double temperature, long double alpha) {
  return reference::sum_over_classes(temperature, [=](auto p, auto q, auto log_p, auto log_q) {
    const long double power = std::exp(alpha * log_p + (1 - alpha) * log_q);
    return (power - alpha * p + (alpha - 1) * q) / (alpha * (alpha - 1));
  });
}

}  // namespace

TEST_CASE("AlphaDivergence: value and gradient are the formula's, with every option") {
  for (const double alpha : {-0.5, 0.25, 0.5, 0.75, 1.5}) {
    CAPTURE(alpha);
    auto loss = support::teacher_loss("AlphaDivergence", distill::AlphaDivergence{.temperature = 4, .alpha = alpha},
                                      alpha_divergence(4, alpha));
    loss.tolerance = 4;  // a power of p / q multiplies the error of its logarithm
    loss.is_bounded = alpha > 0 && alpha < 1;
    support::check_score_loss(loss);
  }
}

TEST_CASE("AlphaDivergence: 0 and 1 are the two KLs, and no step away from what lies beside them") {
  support::check_score_loss(support::teacher_loss(
      "AlphaDivergence 0", distill::AlphaDivergence{.temperature = 2, .alpha = 0}, reference::reverse_kl(2)));
  support::check_score_loss(support::teacher_loss(
      "AlphaDivergence 1", distill::AlphaDivergence{.temperature = 2, .alpha = 1}, reference::forward_kl(2)));
  const float student[] = {1, -2, 0.5f, 3, 0}, teacher[] = {0, 1, 2.5f, -1, 0.25f};
  const distill::MatrixView s{student, 1, 5}, t{teacher, 1, 5};
  for (const double end : {0.0, 1.0}) {
    const double at = distill::AlphaDivergence{.alpha = end}(s, t);
    for (const double step : {1e-4, 1e-7, 1e-12, -1e-12, -1e-7, -1e-4}) {
      CHECK(distill::AlphaDivergence{.alpha = end + step}(s, t) ==
            doctest::Approx(at).epsilon(3e-7 + 10 * std::abs(step)));
    }
  }
}
