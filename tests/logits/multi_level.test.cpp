#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/multi_level.hpp>
#include <vector>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

TEST_CASE("MultiLevel: value and gradient are the formula's, with every option") {
  struct Weights {
    double batch, classes;
  };
  for (const Weights w : {Weights{1, 1}, Weights{2, 0}, Weights{0, 0.5}}) {
    const distill::MultiLevel level{.temperature = 2, .batch_weight = w.batch, .class_weight = w.classes};
    auto loss = support::score_loss("MultiLevel", level, [](const auto& l, auto s, auto t, auto, auto g, auto options) {
      return l(s, t, g, options);
    });
    loss.batch = [=](const auto& student, const auto& teacher, const std::vector<long double>& weights) {
      std::vector<reference::Row> q, p;
      for (const auto& row : student) q.push_back(reference::softmax(row, 2));
      for (const auto& row : teacher) p.push_back(reference::softmax(row, 2));
      const std::size_t rows = q.size(), cols = q[0].size();
      long double sum = 0, batch = 0, classes = 0;
      for (std::size_t i = 0; i < rows; ++i) {
        sum += weights[i];
        for (std::size_t k = 0; k < rows; ++k) {
          long double d = 0;
          for (std::size_t j = 0; j < cols; ++j) d += q[i][j] * q[k][j] - p[i][j] * p[k][j];
          batch += weights[i] * weights[k] * d * d;
        }
      }
      for (std::size_t j = 0; j < cols; ++j) {
        for (std::size_t k = 0; k < cols; ++k) {
          long double d = 0;
          for (std::size_t i = 0; i < rows; ++i) d += weights[i] * (q[i][j] * q[i][k] - p[i][j] * p[i][k]);
          classes += d * d;
        }
      }
      return w.batch * batch / sum + w.classes * classes / static_cast<long double>(cols);
    };
    loss.step_scale = 2;
    loss.terms_are_rows = true;
    support::check_score_loss(loss);
  }
}
