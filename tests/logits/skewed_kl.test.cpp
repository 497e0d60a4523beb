#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/skewed_kl.hpp>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

namespace {

support::RowFormula skewed(long double temperature, long double skew) {
  return reference::sum_over_classes(temperature, [=](auto p, auto q, auto log_p, auto) {
    return reference::kl(p, log_p, std::log(skew * p + (1 - skew) * q));
  });
}

}  // namespace

TEST_CASE("SkewedKl: value and gradient are the formula's, with every option") {
  for (const double skew : {1e-6, 0.1, 0.5, 1.0}) {
    support::check_score_loss(
        support::teacher_loss("SkewedKl", distill::SkewedKl{.temperature = 2, .skew = skew}, skewed(2, skew)));
  }
  support::check_score_loss(
      support::teacher_loss("SkewedKl 0", distill::SkewedKl{.temperature = 2, .skew = 0}, reference::forward_kl(2)));
}

TEST_CASE("SkewedKl: the teacher's entropy may be left in") {
  const distill::SkewedKl loss{.temperature = 2, .skew = 0.25, .subtract_teacher_entropy = false};
  auto checked = support::teacher_loss("SkewedKl", loss, reference::sum_over_classes(2, [](auto p, auto q, auto, auto) {
                                         return p == 0 ? 0 : -p * std::log(0.25L * p + 0.75L * q);
                                       }));
  support::check_score_loss(checked);
}
