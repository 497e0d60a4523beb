#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/logit_cosine.hpp>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

TEST_CASE("LogitCosine: value and gradient are the formula's, with every option") {
  auto loss = support::score_loss(
      "LogitCosine", distill::LogitCosine{},
      [](const auto& l, auto s, auto t, auto, auto g, auto options) { return l(s, t, g, options); });
  loss.row = [](const reference::Row& s, const reference::Row& t, std::size_t, const reference::Row&) {
    long double ss = 0, tt = 0, st = 0;
    for (std::size_t j = 0; j < s.size(); ++j) {
      ss += s[j] * s[j];
      tt += t[j] * t[j];
      st += s[j] * t[j];
    }
    return 1 - st / std::sqrt(ss * tt);
  };
  loss.is_shift_invariant = false;
  loss.terms_are_rows = true;
  support::check_score_loss(loss);
}
