#include <doctest/doctest.h>

#include <array>
#include <distill/attention/attention_transfer.hpp>
#include <distill/core/layers.hpp>
#include <distill/features/feature_matching.hpp>
#include <distill/features/margin_relu.hpp>
#include <limits>
#include <vector>

#include "support/data.hpp"

namespace {

using distill::FeatureMatching;
using distill::layer_pair;
using distill::MarginRelu;
using distill::MatrixView;
using distill::sum_over_layers;

const std::vector<float> s1{1, 2, 3, 4}, t1{0, 1, 5, 2}, s2{1, 0, 2, 1, 1, 3}, t2{2, 2, 0, 1, 0, 1};

}  // namespace

TEST_CASE("layers: the sum of a loss over pairs, each with its weight") {
  std::vector<float> g1(4), g2(6), expected1(4), expected2(6);
  const std::vector layers{
      layer_pair(MatrixView{s1.data(), 2, 2}, MatrixView{t1.data(), 2, 2}, MatrixView{g1.data(), 2, 2}, 0.5),
      layer_pair(MatrixView{s2.data(), 2, 3}, MatrixView{t2.data(), 2, 3}, MatrixView{g2.data(), 2, 3}, 2)};
  const std::vector<float> weights{1, 3};
  distill::RowOptions options;
  options.weights = weights;
  const double first = FeatureMatching{.weight = 1.5}(MatrixView{s1.data(), 2, 2}, MatrixView{t1.data(), 2, 2},
                                                      MatrixView{expected1.data(), 2, 2}, options);
  const double second = FeatureMatching{.weight = 6}(MatrixView{s2.data(), 2, 3}, MatrixView{t2.data(), 2, 3},
                                                     MatrixView{expected2.data(), 2, 3}, options);
  CHECK(sum_over_layers(FeatureMatching{.weight = 3}, layers, options) == first + second);
  CHECK(g1 == expected1);
  CHECK(g2 == expected2);
}

TEST_CASE("layers: a student's layer in several pairs, values alone, feature maps") {
  std::vector<float> grad(4), expected(4);
  const MatrixView s{s1.data(), 2, 2}, t{t1.data(), 2, 2}, u{t2.data(), 2, 2};
  const MatrixView g{grad.data(), 2, 2}, e{expected.data(), 2, 2};
  const double value = FeatureMatching{}(s, t, e) + FeatureMatching{}(s, u, distill::add_to(e));
  CHECK(sum_over_layers(FeatureMatching{}, std::array{layer_pair(s, t, distill::add_to(g), 1),
                                                      layer_pair(s, u, distill::add_to(g), 1)}) == value);
  CHECK(grad == expected);
  CHECK(sum_over_layers(FeatureMatching{}, std::array{layer_pair(s, t, 1), layer_pair(s, u, 1)}) == value);

  const distill::FeatureMapView student{s2.data(), 1, 2, 3}, teacher{t2.data(), 1, 2, 3};
  CHECK(sum_over_layers(distill::AttentionTransfer{}, std::array{layer_pair(student, teacher, 2)}) ==
        distill::AttentionTransfer{.weight = 2}(student, teacher));
}

TEST_CASE("layers: a pair of weight 0 is not read, and its gradient is 0") {
  const std::vector<float> nan(4, std::numeric_limits<float>::quiet_NaN());
  std::vector<float> grad(4, 42);
  const MatrixView s{nan.data(), 2, 2};
  CHECK(sum_over_layers(FeatureMatching{}, std::array{layer_pair(s, s, MatrixView{grad.data(), 2, 2}, 0)}) == 0);
  CHECK(grad == std::vector<float>(4, 0));
}

TEST_CASE("layers: a callable binds what a loss takes besides") {
  std::vector<float> g1(4), g2(4), expected1(4), expected2(4);
  const std::vector<double> margins{-0.5, -1};
  const auto maps = [](auto& numbers) { return distill::FeatureMapView{numbers.data(), 1, 2, 1, 2}; };
  const auto with_margins = [&](auto s, auto t, auto grad, double weight, const distill::RowOptions& options) {
    return MarginRelu{.weight = weight}(s, t, margins, grad, options);
  };
  const double value = MarginRelu{.weight = 0.5}(maps(s1), maps(t1), margins, maps(expected1)) +
                       MarginRelu{.weight = 2}(maps(t1), maps(s1), margins, maps(expected2));
  CHECK(sum_over_layers(with_margins, std::array{layer_pair(maps(s1), maps(t1), maps(g1), 0.5),
                                                 layer_pair(maps(t1), maps(s1), maps(g2), 2)}) == value);
  CHECK(g1 == expected1);
  CHECK(g2 == expected2);
  CHECK(sum_over_layers(with_margins,
                        std::array{layer_pair(maps(s1), maps(t1), 0.5), layer_pair(maps(t1), maps(s1), 2)}) == value);
}

TEST_CASE("layers: mistakes") {
  const MatrixView s{s1.data(), 2, 2};
  std::vector<double> losses(2);
  distill::RowOptions options;
  options.losses = losses;
  support::check_throws([&] { sum_over_layers(FeatureMatching{}, std::array{layer_pair(s, s, 1)}, options); },
                        {"sum_over_layers", "losses"});
  support::check_throws(
      [&] {
        sum_over_layers(FeatureMatching{}, std::array{layer_pair(s, s, 1), layer_pair(s, s, -1)});
      },
      {"sum_over_layers", "the weight of pair 1 is -1"});
  std::vector<float> grad(4, 42);
  const auto infinite = std::numeric_limits<double>::infinity();
  support::check_throws(
      [&] {
        sum_over_layers(FeatureMatching{}, std::array{layer_pair(s, s, MatrixView{grad.data(), 2, 2}, 1),
                                                      layer_pair(s, s, MatrixView{grad.data(), 2, 2}, infinite)});
      },
      {"sum_over_layers", "the weight of pair 1 is inf, expected a finite number of at least 0"});
  CHECK(grad == std::vector<float>(4, 42));
  const MatrixView<float> null{nullptr, 2, 2};
  support::check_throws([&] { sum_over_layers(FeatureMatching{}, std::array{layer_pair(s, s, null, 0)}); },
                        {"sum_over_layers", "grad is null"});
}
