#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/binary_kl.hpp>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

TEST_CASE("BinaryKl: value and gradient are the formula's, with every option") {
  for (const double temperature : {1.0, 3.0}) {
    auto loss = support::teacher_loss(
        "BinaryKl", distill::BinaryKl{.temperature = temperature},
        [=](const reference::Row& s, const reference::Row& t, std::size_t, const reference::Row&) {
          long double sum = 0;
          const auto log_sigmoid = [](long double x) {
            return x < 0 ? x - std::log1p(std::exp(x)) : -std::log1p(std::exp(-x));
          };
          for (std::size_t j = 0; j < s.size(); ++j) {
            const long double a = t[j] / temperature, b = s[j] / temperature;
            sum += reference::kl(std::exp(log_sigmoid(a)), log_sigmoid(a), log_sigmoid(b)) +
                   reference::kl(std::exp(log_sigmoid(-a)), log_sigmoid(-a), log_sigmoid(-b));
          }
          return sum;
        });
    loss.is_shift_invariant = false;
    support::check_score_loss(loss);
  }
}
