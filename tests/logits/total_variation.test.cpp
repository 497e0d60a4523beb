#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/total_variation.hpp>
#include <vector>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

TEST_CASE("TotalVariation: value and gradient are the formula's, with every option") {
  for (const double temperature : {0.5, 2.0}) {
    auto loss = support::teacher_loss(
        "TotalVariation", distill::TotalVariation{.temperature = temperature},
        reference::sum_over_classes(temperature, [](auto p, auto q, auto, auto) { return std::abs(p - q) / 2; }));
    loss.has_kinks = true;
    support::check_score_loss(loss);
  }
}

TEST_CASE("TotalVariation: where student and teacher agree the gradient is 0") {
  const std::vector<float> x{1, 2, 3, -1, 0.3f};
  std::vector<float> grad(5, 7);
  CHECK(distill::TotalVariation{}(distill::MatrixView{x.data(), 1, 5}, distill::MatrixView{x.data(), 1, 5},
                                  distill::MatrixView{grad.data(), 1, 5}) == 0);
  CHECK(grad == std::vector<float>(5));
}
