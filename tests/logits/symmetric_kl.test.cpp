#include <doctest/doctest.h>

#include <distill/logits/symmetric_kl.hpp>
#include <initializer_list>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

TEST_CASE("SymmetricKl: value and gradient are the formula's, with every option") {
  for (const double forward : {0.0, 0.3, 1.0}) {
    const distill::SymmetricKl loss{.temperature = 2, .forward_weight = forward};
    const auto f = reference::forward_kl(2), r = reference::reverse_kl(2);
    support::check_score_loss(
        support::teacher_loss("SymmetricKl", loss, [=](const auto& s, const auto& t, std::size_t l, const auto& b) {
          return forward * f(s, t, l, b) + (1 - forward) * r(s, t, l, b);
        }));
  }
}

TEST_CASE("SymmetricKl: a weight outside [0, 1] is named") {
  const float x[] = {1, 2};
  const distill::MatrixView v{x, 1, 2};
  support::check_throws([&] { distill::SymmetricKl{.forward_weight = 1.5}(v, v); },
                        {"SymmetricKl", "forward_weight", "1.5"});
}
