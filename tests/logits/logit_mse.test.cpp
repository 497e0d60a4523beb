#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/logit_mse.hpp>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

TEST_CASE("LogitMse: value and gradient are the formula's, with every option") {
  for (const double temperature : {1.0, 3.0}) {
    auto loss = support::score_loss(
        "LogitMse", distill::LogitMse{.temperature = temperature},
        [](const auto& l, auto s, auto t, auto, auto g, auto options) { return l(s, t, g, options); });
    loss.row = [=](const reference::Row& s, const reference::Row& t, std::size_t, const reference::Row&) {
      long double sum = 0;
      for (std::size_t j = 0; j < s.size(); ++j) sum += (s[j] - t[j]) * (s[j] - t[j]);
      return sum / (temperature * temperature);
    };
    loss.is_shift_invariant = false;
    support::check_score_loss(loss);
  }
}

TEST_CASE("LogitMse: log-probabilities are refused") {
  const float x[] = {1, 2};
  const distill::MatrixView v{x, 1, 2};
  support::check_throws([&] { distill::LogitMse{}(v, distill::log_probabilities(v)); },
                        {"LogitMse", "log-probabilities"});
}
