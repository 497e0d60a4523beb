#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/skewed_reverse_kl.hpp>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

TEST_CASE("SkewedReverseKl: value and gradient are the formula's, with every option") {
  for (const double skew : {1e-6, 0.1, 0.5, 1.0}) {
    support::check_score_loss(support::teacher_loss(
        "SkewedReverseKl", distill::SkewedReverseKl{.temperature = 2, .skew = skew},
        reference::sum_over_classes(2, [=](auto p, auto q, auto, auto log_q) {
          return reference::kl(q, log_q, std::log((1 - static_cast<long double>(skew)) * p + skew * q));
        })));
  }
  support::check_score_loss(support::teacher_loss(
      "SkewedReverseKl 0", distill::SkewedReverseKl{.temperature = 2, .skew = 0}, reference::reverse_kl(2)));
}
