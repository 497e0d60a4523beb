#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <distill/logits/adaptive_kl.hpp>
#include <numeric>
#include <vector>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

namespace {

support::RowFormula adaptive(long double temperature, long double tail_mass) {
  return [=](const reference::Row& s, const reference::Row& t, std::size_t label, const reference::Row& base) {
    const reference::Row p = reference::softmax(t, temperature), q = reference::softmax(base, temperature);
    std::vector<std::size_t> order(p.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] < p[b]; });
    long double mass = 0, head = 0, tail = 0;
    for (const std::size_t j : order) {
      mass += p[j];
      (mass <= tail_mass ? tail : head) += std::abs(p[j] - q[j]);
    }
    const long double share = head + tail == 0 ? 0.5L : head / (head + tail);
    return share * reference::forward_kl(temperature)(s, t, label, base) +
           (1 - share) * reference::reverse_kl(temperature)(s, t, label, base);
  };
}

}  // namespace

TEST_CASE("AdaptiveKl: value and gradient are the formula's, with every option") {
  for (const double tail_mass : {0.3, 0.5}) {
    support::check_score_loss(support::teacher_loss(
        "AdaptiveKl", distill::AdaptiveKl{.temperature = 2, .tail_mass = tail_mass}, adaptive(2, tail_mass)));
  }
}
