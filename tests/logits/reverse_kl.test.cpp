#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <distill/logits/reverse_kl.hpp>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

TEST_CASE("ReverseKl: value and gradient are the formula's, with every option") {
  for (const double temperature : {0.5, 1.0, 4.0}) {
    support::check_score_loss(support::teacher_loss("ReverseKl", distill::ReverseKl{.temperature = temperature},
                                                    reference::reverse_kl(temperature)));
  }
  const distill::ReverseKl unscaled{.temperature = 3, .scale_by_temperature_squared = false};
  support::check_score_loss(support::teacher_loss("ReverseKl without T^2", unscaled, reference::reverse_kl(3)));
}

TEST_CASE("ReverseKl: a class that the teacher excludes makes it infinite, not its gradient") {
  const float student[] = {1, 2, 3}, teacher[] = {0, -INFINITY, 1};
  float grad[3];
  CHECK(std::isinf(distill::ReverseKl{}(distill::MatrixView{student, 1, 3}, distill::MatrixView{teacher, 1, 3},
                                        distill::MatrixView{grad, 1, 3})));
  for (const float g : grad) CHECK(std::isfinite(g));
}
