#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <distill/features/channel_wise.hpp>
#include <limits>
#include <vector>

#include "support/golden_maps.hpp"
#include "support/hidden_loss.hpp"

namespace {

using distill::ChannelWise;
using distill::FeatureMapView;
using distill::Precision;

/// Of samples of channels x positions, with `last` of positions x channels.
void check_formula(const ChannelWise& loss, std::size_t channels, std::size_t height, std::size_t width, bool last) {
  CAPTURE(channels);
  CAPTURE(last);
  auto checked =
      last ? support::hidden_loss("ChannelWise", loss,
                                  [=](const auto& l, auto s, auto t, auto g, const auto& options) {
                                    return l(support::as_nhwc(s, channels, height, width),
                                             support::as_nhwc(t, channels, height, width),
                                             support::as_nhwc(g, channels, height, width), options);
                                  })
           : support::hidden_loss("ChannelWise", loss, [=](const auto& l, auto s, auto t, auto g, const auto& options) {
               return l(support::as_maps(s, channels, height, width), support::as_maps(t, channels, height, width),
                        support::as_maps(g, channels, height, width), options);
             });
  const std::size_t positions = height * width;
  checked.student_size = checked.teacher_size = channels * positions;
  checked.sum_terms = channels;
  checked.sample = [=](const reference::Row& student, const reference::Row& teacher) {
    long double sum = 0;
    for (std::size_t c = 0; c < channels; ++c) {
      reference::Row s, t;
      for (std::size_t p = 0; p < positions; ++p) {
        const std::size_t k = last ? p * channels + c : c * positions + p;
        s.push_back(student[k]);
        t.push_back(teacher[k]);
      }
      sum += reference::kl_divergence(s, t, loss.temperature).loss;
    }
    return sum * (loss.scale_by_temperature_squared ? loss.temperature * loss.temperature : 1);
  };
  support::check_hidden_loss(checked);
}

}  // namespace

TEST_CASE("ChannelWise: value and gradient are the formula's") {
  for (const bool last : {false, true}) {
    check_formula({.temperature = 2}, 3, 2, 4, last);
    check_formula({.temperature = 4, .scale_by_temperature_squared = false}, 2, 3, 3, last);
    check_formula({.temperature = 4, .precision = Precision::high}, 19, 1, 2, last);
  }
}

TEST_CASE("ChannelWise: golden vectors") {
  support::check_golden_maps("cwd.mmrazor",
                             [](const auto& params) { return ChannelWise{.temperature = params.at("T")}; });
}

TEST_CASE("ChannelWise: student, teacher and gradient in different orders") {
  constexpr std::size_t batch = 2, channels = 21, height = 3, width = 4, positions = height * width;
  std::vector<float> first(batch * channels * positions), last(first.size()), teacher(first.size());
  for (std::size_t k = 0; k < first.size(); ++k) {
    const std::size_t n = k / (channels * positions), c = k / positions % channels, p = k % positions;
    first[k] = static_cast<float>(k * 7 % 31) / 8;
    last[(n * positions + p) * channels + c] = first[k];
    teacher[k] = static_cast<float>(k * 5 % 23) / 8;
  }
  const auto maps = [](std::vector<float>& v) { return FeatureMapView{v.data(), batch, channels, height, width}; };
  std::vector<float> grad(first.size()), grad_mixed(first.size(), 42);
  const double value = ChannelWise{}(maps(first), maps(teacher), maps(grad));
  CHECK(ChannelWise{}(distill::nhwc(last.data(), batch, height, width, channels), maps(teacher), maps(grad_mixed)) ==
        value);
  CHECK(grad_mixed == grad);
}

TEST_CASE("ChannelWise: one position, a constant apart, and masked positions") {
  const auto maps = [](auto& v, std::size_t positions) { return FeatureMapView{v.data(), 1, 2, positions}; };
  std::vector<double> student{1, 2, 4, 0, 1, 3}, teacher{101, 102, 104, -5, -4, -2}, grad(6, 42);
  CHECK(ChannelWise{}(maps(student, 3), maps(teacher, 3), maps(grad, 3)) <= 1e-15);
  for (const double g : grad) CHECK(std::abs(g) <= 1e-15);
  std::vector<double> one{3, 4}, other{-1, 7}, grad_one(2, 42);
  CHECK(ChannelWise{}(maps(one, 1), maps(other, 1), maps(grad_one, 1)) == 0);
  CHECK(grad_one == std::vector<double>{0, 0});

  constexpr double infinity = std::numeric_limits<double>::infinity();
  student[1] = teacher[1] = -infinity;  // masked in both
  CHECK(ChannelWise{}(maps(student, 3), maps(teacher, 3), maps(grad, 3)) <= 1e-15);
  CHECK(grad[1] == 0);
  teacher[1] = 2;  // in the student only
  CHECK(ChannelWise{}(maps(student, 3), maps(teacher, 3), maps(grad, 3)) == infinity);
  for (const double g : grad) CHECK(std::isfinite(g));
  student[0] = student[2] = -infinity;  // nothing is left
  CHECK(std::isnan(ChannelWise{}(maps(student, 3), maps(teacher, 3), maps(grad, 3))));
  for (const double g : grad) CHECK(std::isnan(g));
}

TEST_CASE("ChannelWise: large and tiny numbers") {
  for (const float size : {1e30f, 1e-30f}) {
    std::vector<float> student{size, -size, size / 2, 0}, teacher{-size, size, 0, size}, grad(4, 42);
    ChannelWise loss;
    loss.temperature = static_cast<double>(size);
    const auto maps = [](auto& v) { return FeatureMapView{v.data(), 1, 1, 4}; };
    const std::vector<float> s{1, -1, 0.5f, 0}, t{-1, 1, 0, 1};
    const double expected = static_cast<double>(reference::kl_divergence({1, -1, 0.5L, 0}, {-1, 1, 0, 1}, 1).loss);
    loss.scale_by_temperature_squared = false;
    CHECK(loss(maps(student), maps(teacher), maps(grad)) == doctest::Approx(expected).epsilon(1e-6));
  }
}

TEST_CASE("ChannelWise: parameters out of range, and maps of another shape, throw") {
  std::vector<float> student(12, 1), teacher(12, 2), grad(12, 42);
  const FeatureMapView s{student.data(), 1, 3, 2, 2}, t{teacher.data(), 1, 3, 2, 2}, g{grad.data(), 1, 3, 2, 2};
  for (const double temperature : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    support::check_throws([&] { ChannelWise{.temperature = temperature}(s, t, g); },
                          {"ChannelWise: temperature is ", "expected a positive finite number"});
  }
  support::check_throws(
      [&] {
        ChannelWise{}(s, FeatureMapView{teacher.data(), 1, 3, 4, 1}, g);
      },
      {"ChannelWise: teacher is 1 x 3 x 4 x 1, student is 1 x 3 x 2 x 2"});
  CHECK(grad == std::vector<float>(12, 42));
}
