#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/decoupled_kd.hpp>
#include <vector>

#include "support/gradient_check.hpp"
#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::DecoupledKd;
using distill::MatrixView;

support::RowFormula decoupled(long double temperature, long double alpha, long double beta) {
  return [=](const reference::Row& s, const reference::Row& t, std::size_t label, const reference::Row&) {
    // the label against all others, with 1 - p as the sum that it is
    const auto split = [&](const reference::Row& x) {
      const reference::Row log_p = reference::log_softmax(x, temperature);
      long double others = 0;
      for (std::size_t j = 0; j < x.size(); ++j) others += j == label ? 0 : std::exp(log_p[j]);
      return std::pair{log_p[label], std::log(others)};
    };
    const auto [p, not_p] = split(t);
    const auto [q, not_q] = split(s);
    const long double target = reference::kl(std::exp(p), p, q) + reference::kl(std::exp(not_p), not_p, not_q);
    reference::Row other_s, other_t;
    for (std::size_t j = 0; j < s.size(); ++j) {
      if (j == label) continue;
      other_s.push_back(s[j]);
      other_t.push_back(t[j]);
    }
    const long double rest = other_s.empty() ? 0 : reference::kl_divergence(other_s, other_t, temperature).loss;
    return alpha * target + beta * rest;
  };
}

}  // namespace

TEST_CASE("DecoupledKd: value and gradient are the formula's, with every option") {
  struct Weights {
    double alpha, beta;
  };
  for (const Weights w : {Weights{1, 8}, Weights{0.5, 0}, Weights{0, 2}}) {
    for (const double temperature : {1.0, 4.0}) {
      auto loss = support::labelled_loss("DecoupledKd",
                                         DecoupledKd{.temperature = temperature, .alpha = w.alpha, .beta = w.beta},
                                         decoupled(temperature, w.alpha, w.beta));
      const double unit = std::max(w.alpha, w.beta);
      loss.value_unit *= unit;
      loss.gradient_unit *= unit;
      support::check_score_loss(loss);
    }
  }
}

TEST_CASE("DecoupledKd: right at logits of 120 and 1e4, where a label masked by -1000 is not") {
  for (const double size : {120.0, 1e4}) {
    const std::vector<double> student{size, 0.5 * size, 1, 2}, teacher{0.25 * size, size, 0, 1};
    std::vector<double> grad(4);
    const std::vector<int> labels{0};
    const DecoupledKd loss{.temperature = 4, .alpha = 1, .beta = 8};
    const double value =
        loss(MatrixView{student.data(), 1, 4}, MatrixView{teacher.data(), 1, 4}, labels, MatrixView{grad.data(), 1, 4});
    // sums of logits' differences: all else is below 1e-6 there
    const reference::Row s(student.begin(), student.end()), t(teacher.begin(), teacher.end());
    const auto expected = static_cast<double>(16 * decoupled(4, 1, 8)(s, t, 0, s));
    CHECK(value == doctest::Approx(expected).epsilon(1e-12));
    CHECK(std::isfinite(value));
    for (const double g : grad) CHECK(std::isfinite(g));
  }
}

TEST_CASE(
    "DecoupledKd: the other classes keep their terms where the label is far above them, first in the row or not") {
  for (const float margin : {90.0f, 95.0f, 100.0f, 103.0f, 120.0f}) {
    for (const int label : {0, 40}) {
      std::vector<float> student(64), teacher(64), grad(64);
      for (std::size_t i = 0; i < 64; ++i) {
        student[i] = static_cast<float>(i % 5);
        teacher[i] = static_cast<float>(i % 7) / 2;
      }
      student[static_cast<std::size_t>(label)] = teacher[static_cast<std::size_t>(label)] = margin;
      const double value = DecoupledKd{.temperature = 1, .alpha = 1, .beta = 8}(
          MatrixView{student.data(), 1, 64}, MatrixView{teacher.data(), 1, 64}, std::vector<int>{label},
          MatrixView{grad.data(), 1, 64});
      const reference::Row s(student.begin(), student.end()), t(teacher.begin(), teacher.end());
      const auto formula = [&](const reference::Row& x) {
        return decoupled(1, 1, 8)(x, t, static_cast<std::size_t>(label), x);
      };
      CAPTURE(margin);
      CAPTURE(label);
      CHECK(value == doctest::Approx(static_cast<double>(formula(s))).epsilon(1e-6));
      const reference::Row expected = support::central_differences(formula, s, tolerances::family_step);
      for (std::size_t i = 0; i < 64; ++i) {
        CAPTURE(i);
        CHECK(std::abs(static_cast<double>(grad[i] - expected[i])) <= 8 * tolerances::family_gradient);
      }
    }
  }
}

TEST_CASE("DecoupledKd: with TCKD + (1 - p) NCKD it is KL") {
  const std::vector<double> student{1, -1, 2, 0.5}, teacher{0, 1, 2, -2};
  const MatrixView s{student.data(), 1, 4}, t{teacher.data(), 1, 4};
  const std::vector<int> labels{2};
  const double p = std::exp(static_cast<double>(reference::log_softmax({0, 1, 2, -2}, 1)[2]));
  CHECK(DecoupledKd{.temperature = 1, .alpha = 1, .beta = 1 - p}(s, t, labels) ==
        doctest::Approx(static_cast<double>(reference::kl_divergence({1, -1, 2, 0.5L}, {0, 1, 2, -2}, 1).loss))
            .epsilon(1e-12));
}

TEST_CASE("DecoupledKd: a teacher who is certain of the label says nothing about the others") {
  const std::vector<float> student{1, 2, 3}, teacher{-INFINITY, 4, -INFINITY};
  std::vector<float> grad(3);
  const double value = DecoupledKd{.temperature = 1}(MatrixView{student.data(), 1, 3}, MatrixView{teacher.data(), 1, 3},
                                                     std::vector<int>{1}, MatrixView{grad.data(), 1, 3});
  CHECK(value == doctest::Approx(static_cast<double>(reference::cross_entropy({1, 2, 3}, 1).loss)).epsilon(1e-6));
  CHECK(grad[0] + grad[1] + grad[2] == doctest::Approx(0));
}
