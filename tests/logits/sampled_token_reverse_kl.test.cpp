#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/reverse_kl.hpp>
#include <distill/logits/sampled_token_reverse_kl.hpp>
#include <limits>
#include <vector>

#include "support/data.hpp"
#include "support/reference.hpp"

namespace {

using distill::MatrixView;
using distill::sampled_tokens;
using distill::SampledTokenReverseKl;

const std::vector<double> student{1, -2, 0.5, 3, 0, 1, 2, 0.25, -1};
const MatrixView s{student.data(), 3, 3};
const std::vector<int> tokens{2, 0, 1};
const std::vector<double> teacher{-1.25, -0.25, -3};

double log_q(std::size_t row, std::size_t token) {
  const reference::Row x(student.begin() + static_cast<std::ptrdiff_t>(3 * row),
                         student.begin() + static_cast<std::ptrdiff_t>(3 * row + 3));
  return static_cast<double>(reference::log_softmax(x, 1)[token]);
}

}  // namespace

TEST_CASE("SampledTokenReverseKl: the value is the tokens' log-ratio, the gradient that of log q times it") {
  std::vector<double> grad(9), losses(3);
  distill::RowOptions options;
  options.losses = losses;
  const double value = SampledTokenReverseKl{.reduction = distill::Reduction::sum}(
      s, sampled_tokens(tokens, teacher), MatrixView{grad.data(), 3, 3}, options);
  double sum = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto token = static_cast<std::size_t>(tokens[i]);
    const double r = log_q(i, token) - teacher[i];
    CHECK(losses[i] == doctest::Approx(r).epsilon(1e-13));
    sum += r;
    for (std::size_t j = 0; j < 3; ++j) {
      CHECK(grad[3 * i + j] == doctest::Approx(r * ((j == token ? 1 : 0) - std::exp(log_q(i, j)))).epsilon(1e-12));
    }
  }
  CHECK(value == doctest::Approx(sum).epsilon(1e-13));
}

TEST_CASE("SampledTokenReverseKl: over all tokens by their probability it is ReverseKl, value and gradient") {
  const std::vector<double> row{1, -2, 0.5}, teacher_row{0.25, 1, -1};
  const reference::Row log_p = reference::log_softmax({0.25L, 1, -1}, 1), q = reference::softmax({1, -2, 0.5L}, 1);
  double value = 0;
  std::vector<double> grad(3), expected(3);
  for (int token = 0; token < 3; ++token) {
    const auto k = static_cast<std::size_t>(token);
    const SampledTokenReverseKl loss{.weight = static_cast<double>(q[k])};
    value += loss(MatrixView{row.data(), 1, 3},
                  sampled_tokens(std::vector<int>{token}, std::vector<double>{static_cast<double>(log_p[k])}),
                  distill::add_to(MatrixView{grad.data(), 1, 3}));
  }
  const double reverse = distill::ReverseKl{}(MatrixView{row.data(), 1, 3}, MatrixView{teacher_row.data(), 1, 3},
                                              MatrixView{expected.data(), 1, 3});
  CHECK(value == doctest::Approx(reverse).epsilon(1e-12));
  for (std::size_t j = 0; j < 3; ++j) CHECK(grad[j] == doctest::Approx(expected[j]).epsilon(1e-12));
}

TEST_CASE("SampledTokenReverseKl: the log-ratio is clipped, and so is the ratio to the sampling policy") {
  const SampledTokenReverseKl bounded{.log_ratio_clip = 0.5, .reduction = distill::Reduction::sum};
  std::vector<double> losses(3);
  distill::RowOptions options;
  options.losses = losses;
  bounded(s, sampled_tokens(tokens, teacher), options);
  for (std::size_t i = 0; i < 3; ++i) {
    const double r = log_q(i, static_cast<std::size_t>(tokens[i])) - teacher[i];
    CHECK(losses[i] == doctest::Approx(std::max(-0.5, std::min(0.5, r))).epsilon(1e-13));
  }
  // PPO's: where the ratio has left the band in the direction that the gradient would drive it further, it stands still
  const SampledTokenReverseKl ppo{.ratio_clip = 0.2, .reduction = distill::Reduction::sum};
  for (const double ratio : {0.5, 0.9, 1.1, 2.0}) {
    std::vector<double> sampling(3), grad(9);
    for (std::size_t i = 0; i < 3; ++i) sampling[i] = log_q(i, static_cast<std::size_t>(tokens[i])) - std::log(ratio);
    ppo(s, sampled_tokens(tokens, teacher, sampling), MatrixView{grad.data(), 3, 3}, options);
    for (std::size_t i = 0; i < 3; ++i) {
      CAPTURE(ratio);
      const auto token = static_cast<std::size_t>(tokens[i]);
      const double r = log_q(i, token) - teacher[i], clipped = std::max(0.8, std::min(1.2, ratio));
      CHECK(losses[i] == doctest::Approx(std::max(r * ratio, r * clipped)).epsilon(1e-12));
      const bool stands_still = r * clipped > r * ratio + 1e-12;
      const double slope = stands_still ? 0 : r * ratio;
      CHECK(grad[3 * i + token] == doctest::Approx(slope * (1 - std::exp(log_q(i, token)))).epsilon(1e-12));
    }
  }
}

TEST_CASE("SampledTokenReverseKl: ignored tokens, hostile numbers, bad arguments") {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  std::vector<float> x{1, 2, 3, 4, 5, 6}, grad(6, 42);
  const MatrixView student_view{x.data(), 2, 3}, grad_view{grad.data(), 2, 3};
  const auto call = [&](const SampledTokenReverseKl& loss, const std::vector<int>& t, const std::vector<float>& p) {
    return loss(student_view, sampled_tokens(t, p), grad_view);
  };
  call({}, {-100, 1}, {-1, -2});
  for (std::size_t j = 0; j < 3; ++j) CHECK(grad[j] == 0);
  CHECK(call({}, {0, 1}, {-INFINITY, -2}) == infinite);
  for (const float g : grad) CHECK(std::isfinite(g));
  CHECK(std::isfinite(call({.log_ratio_clip = 5}, {0, 1}, {-INFINITY, -2})));
  CHECK(std::isnan(call({}, {0, 1}, {NAN, -2})));
  grad.assign(6, 42);
  support::check_throws([&] { call({}, {3, 1}, {-1, -2}); }, {"SampledTokenReverseKl", "labels[0] is 3"});
  support::check_throws(
      [&] {
        call({}, {0, 1}, {-1});
      },
      {"SampledTokenReverseKl", "teacher_log_probabilities has 1 entries", "2 rows"});
  support::check_throws(
      [&] {
        call({.log_ratio_clip = 0}, {0, 1}, {-1, -2});
      },
      {"SampledTokenReverseKl", "log_ratio_clip is 0"});
  support::check_throws(
      [&] {
        call({.ratio_clip = -1}, {0, 1}, {-1, -2});
      },
      {"SampledTokenReverseKl", "ratio_clip is -1"});
  CHECK(grad == std::vector<float>(6, 42));
}
