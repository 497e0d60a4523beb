#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/weighted_soft_label.hpp>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

TEST_CASE("WeightedSoftLabel: value and gradient are the formula's, with every option") {
  for (const bool subtract : {true, false}) {
    for (const double temperature : {1.0, 3.0}) {
      const distill::WeightedSoftLabel loss{.temperature = temperature, .subtract_teacher_entropy = subtract};
      const auto share = [](const reference::Row& s, const reference::Row& t, std::size_t label) {
        return 1 - std::exp(-reference::cross_entropy(s, label).loss / reference::cross_entropy(t, label).loss);
      };
      const auto divergence = reference::sum_over_classes(temperature, [=](auto p, auto, auto log_p, auto log_q) {
        return reference::kl(p, subtract ? log_p : 0, log_q);
      });
      support::check_score_loss(support::labelled_loss(
          "WeightedSoftLabel", loss, [=](const auto& s, const auto& t, std::size_t label, const auto& base) {
            return s.size() == 1 ? 0 : share(base, t, label) * divergence(s, t, label, base);
          }));
    }
  }
}
