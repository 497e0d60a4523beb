#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <distill/features/factor_transfer.hpp>
#include <limits>
#include <vector>

#include "support/golden_maps.hpp"
#include "support/hidden_loss.hpp"
#include "support/reference_hidden.hpp"

namespace {

using distill::Factor;
using distill::FactorDistance;
using distill::FactorTransfer;
using distill::FeatureMapView;
using distill::Reduction;

struct Shape {
  std::size_t channels, height, width;
  std::size_t size() const { return channels * height * width; }
};

reference::Row factor_of(const FactorTransfer& loss, const reference::Row& sample, Shape shape, Shape grid, bool last) {
  reference::Maps maps{reference::Row(sample.size()), shape.channels, shape.height, shape.width};
  const std::size_t positions = shape.height * shape.width;
  for (std::size_t k = 0; k < sample.size(); ++k) {
    maps.data[last ? k % shape.channels * positions + k / shape.channels : k] = sample[k];
  }
  maps = reference::average_pool(maps, grid.height, grid.width);
  return reference::unit(loss.factor == Factor::energy ? reference::attention(maps, loss.power) : maps.data);
}

/// `last`: student and teacher are of positions x channels; `mixed`: the student only.
void check_formula(const FactorTransfer& loss, Shape student, Shape teacher, bool last = false, bool mixed = false) {
  CAPTURE(static_cast<int>(loss.factor));
  CAPTURE(static_cast<int>(loss.distance));
  CAPTURE(last);
  const auto maps = [](const auto& view, Shape shape, bool channels_last) {
    return channels_last ? support::as_nhwc(view, shape.channels, shape.height, shape.width)
                         : support::as_maps(view, shape.channels, shape.height, shape.width);
  };
  auto checked =
      support::hidden_loss("FactorTransfer", loss, [=](const auto& l, auto s, auto t, auto g, const auto& options) {
        return l(maps(s, student, last || mixed), maps(t, teacher, last), maps(g, student, last || mixed), options);
      });
  const Shape grid{student.channels, std::min(student.height, teacher.height), std::min(student.width, teacher.width)};
  checked.samples = 3;
  checked.student_size = student.size();
  checked.teacher_size = teacher.size();
  const bool euclidean = loss.distance == FactorDistance::euclidean, energy = loss.factor == Factor::energy;
  checked.sum_terms = euclidean ? 1 : energy ? grid.height * grid.width : grid.size();
  checked.has_kinks = loss.distance != FactorDistance::squared;
  checked.sample = [=](const reference::Row& s, const reference::Row& t) {
    const reference::Row u = factor_of(loss, s, student, grid, last || mixed);
    const reference::Row v = factor_of(loss, t, teacher, grid, last);
    long double absolute = 0, squared = 0;
    for (std::size_t k = 0; k < u.size(); ++k) {
      absolute += std::abs(u[k] - v[k]);
      squared += (u[k] - v[k]) * (u[k] - v[k]);
    }
    return loss.distance == FactorDistance::absolute ? absolute : euclidean ? std::sqrt(squared) : squared;
  };
  checked.zero_sample_has_no_gradient = true;
  support::check_hidden_loss(checked);
}

constexpr FactorDistance all_distances[] = {FactorDistance::absolute, FactorDistance::squared,
                                            FactorDistance::euclidean};

}  // namespace

TEST_CASE("FactorTransfer: value and gradient are the formula's, of features") {
  for (const FactorDistance distance : all_distances) {
    for (const bool last : {false, true}) check_formula({.distance = distance}, {3, 2, 2}, {3, 2, 2}, last);
  }
  check_formula({}, {1, 3, 7}, {1, 3, 7});
  check_formula({}, {3, 1, 4}, {3, 1, 4}, false, true);
  check_formula({}, {2, 3, 3}, {2, 2, 3});
  check_formula({}, {2, 2, 2}, {2, 4, 3}, true);
}

TEST_CASE("FactorTransfer: value and gradient are the formula's, of energies") {
  for (const FactorDistance distance : all_distances) {
    check_formula({.factor = Factor::energy, .distance = distance}, {3, 2, 2}, {2, 2, 2});
  }
  check_formula({.factor = Factor::energy, .power = 4}, {2, 2, 2}, {3, 2, 2}, true);
  check_formula({.factor = Factor::energy, .power = 2.5}, {2, 2, 3}, {2, 4, 2});
}

TEST_CASE("FactorTransfer: golden vectors") {
  support::check_golden_maps("factor_transfer.mmrazor", [](const auto&) { return FactorTransfer{}; });
  support::check_golden_maps("factor_transfer.torchdistill", [](const auto& params) {
    return FactorTransfer{.distance = params.at("p") == 1 ? FactorDistance::absolute : FactorDistance::euclidean,
                          .reduction = params.at("reduction") == "sum" ? Reduction::sum : Reduction::per_element};
  });
  support::check_golden_maps("factor_transfer.repdistiller", [](const auto& params) {
    return FactorTransfer{.factor = Factor::energy,
                          .power = params.at("p1"),
                          .distance = params.at("p2") == 1 ? FactorDistance::absolute : FactorDistance::squared};
  });
}

TEST_CASE("FactorTransfer: lengths do not count, also where their squares overflow or vanish") {
  const std::vector<float> student{1, -2, 0.5f, 3}, teacher{2, 1, -1, 0.25f};
  const auto maps = [](auto& v) { return FeatureMapView{v.data(), 1, 2, 2}; };
  for (const Factor factor : {Factor::features, Factor::energy}) {
    for (const FactorDistance distance : all_distances) {
      const FactorTransfer loss{.factor = factor, .distance = distance};
      std::vector<float> grad(4), scaled_grad(4);
      const double expected = loss(maps(student), maps(teacher), maps(grad));
      for (const float size : {1e30f, 1e-30f}) {
        std::vector<float> scaled = student, scaled_teacher = teacher;
        for (float& x : scaled) x *= size;
        for (float& x : scaled_teacher) x *= size;
        CHECK(loss(maps(scaled), maps(scaled_teacher), maps(scaled_grad)) == doctest::Approx(expected).epsilon(1e-6));
        for (std::size_t k = 0; k < 4; ++k) {
          CHECK(std::abs(scaled_grad[k] * size - grad[k]) <= 1e-6);
        }
      }
    }
  }
}

TEST_CASE("FactorTransfer: a sample of zeros has the factor 0") {
  const std::vector<double> zero(4, 0), other{0, 3, -4, 0};
  std::vector<double> grad(4, 42);
  const auto maps = [](auto& v) { return FeatureMapView{v.data(), 1, 2, 2}; };
  CHECK(FactorTransfer{.reduction = Reduction::sum}(maps(zero), maps(other), maps(grad)) == doctest::Approx(1.4));
  CHECK(grad == zero);
  CHECK(FactorTransfer{.distance = FactorDistance::euclidean}(maps(other), maps(other), maps(grad)) == 0);
  CHECK(grad == zero);
}

TEST_CASE("FactorTransfer: parameters out of range, and channels that differ, throw") {
  std::vector<float> student(12, 1), teacher(8, 2), grad(12, 42);
  const auto call = [&](const FactorTransfer& loss) {
    loss(FeatureMapView{student.data(), 1, 3, 2, 2}, FeatureMapView{teacher.data(), 1, 2, 2, 2},
         FeatureMapView{grad.data(), 1, 3, 2, 2});
  };
  support::check_throws([&] { call({}); }, {"FactorTransfer: teacher has 2 channels, student has 3"});
  for (const double power : {0.5, 65.0, std::numeric_limits<double>::quiet_NaN()}) {
    support::check_throws([&] { call({.factor = Factor::energy, .power = power}); }, {"FactorTransfer: power is "});
  }
  support::check_throws([&] { call({.factor = static_cast<Factor>(7)}); }, {"factor is 7, expected a Factor"});
  support::check_throws([&] { call({.distance = static_cast<FactorDistance>(7)}); },
                        {"distance is 7, expected a FactorDistance"});
  CHECK(grad == std::vector<float>(12, 42));
}
