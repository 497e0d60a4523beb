#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <distill/relations/channel_gram.hpp>
#include <string>
#include <vector>

#include "support/golden_maps.hpp"
#include "support/relation_loss.hpp"

namespace {

using distill::ChannelGram;
using distill::FeatureMapView;
using reference::Row;

/// The Gram matrix of a sample's channels, with rows of unit length; nhwc: channels are neighbours.
std::vector<Row> correlations(const Row& sample, std::size_t channels, bool nhwc) {
  const std::size_t positions = sample.size() / channels;
  std::vector<Row> maps(channels, Row(positions));
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t p = 0; p < positions; ++p) maps[c][p] = sample[nhwc ? p * channels + c : c * positions + p];
  }
  return support::unit_rows(support::gram(maps));
}

support::HiddenLoss channel_gram(bool nhwc) {
  support::HiddenLoss loss = support::hidden_loss(
      "ChannelGram", ChannelGram{}, [=](const auto& l, auto s, auto t, auto g, const auto& options) {
        // student 3 x 2 x 4, teacher 3 x 1 x 5
        return nhwc ? l(support::as_nhwc(s, 3, 2, 4), support::as_nhwc(t, 3, 1, 5), support::as_nhwc(g, 3, 2, 4),
                        options)
                    : l(support::as_maps(s, 3, 2, 4), support::as_maps(t, 3, 1, 5), support::as_maps(g, 3, 2, 4),
                        options);
      });
  loss.student_size = 24;
  loss.teacher_size = 15;
  loss.sum_terms = 9;
  loss.zero_sample_has_no_gradient = true;
  loss.sample = [=](const Row& student, const Row& teacher) {
    const auto s = correlations(student, 3, nhwc), t = correlations(teacher, 3, nhwc);
    long double sum = 0;
    for (std::size_t a = 0; a < 3; ++a) {
      for (std::size_t b = 0; b < 3; ++b) sum += (s[a][b] - t[a][b]) * (s[a][b] - t[a][b]);
    }
    return sum;
  };
  return loss;
}

}  // namespace

TEST_CASE("ChannelGram: value and gradient are the formula's, with every option") {
  for (const bool nhwc : {false, true}) support::check_hidden_loss(channel_gram(nhwc));
}

TEST_CASE("ChannelGram: golden vectors") {
  support::check_golden_maps("ickd.torchdistill", [](const auto&) {
    return [](const auto& student, const auto& teacher, const auto& grad) {
      const double n = static_cast<double>(student.batch), c = static_cast<double>(student.channels);
      return ChannelGram{.weight = c / n}(student, teacher, grad);
    };
  });
}

TEST_CASE("ChannelGram: channels that differ") {
  const std::vector<float> x(24, 1);
  support::check_throws(
      [&] {
        ChannelGram{}(FeatureMapView{x.data(), 1, 4, 3, 2}, FeatureMapView{x.data(), 1, 3, 4, 2});
      },
      {"ChannelGram", "teacher has 3 channels, student has 4"});
}

TEST_CASE("ChannelGram: a channel of zeros has no gradient, the others do") {
  std::vector<double> student{1, 2, 0, 0, -1, 1}, teacher{0, 1, 2, 2, 1, 0}, grad(6, 42);
  const FeatureMapView t{teacher.data(), 1, 3, 1, 2};
  ChannelGram{}(FeatureMapView{student.data(), 1, 3, 1, 2}, t, FeatureMapView{grad.data(), 1, 3, 1, 2});
  CHECK(grad[2] == 0);
  CHECK(grad[3] == 0);
  for (const std::size_t k : {0, 1, 4, 5}) {
    const auto at = [&](double step) {
      student[k] += step;
      const double value = ChannelGram{}(FeatureMapView{student.data(), 1, 3, 1, 2}, t);
      student[k] -= step;
      return value;
    };
    CHECK(grad[k] == doctest::Approx((at(1e-5) - at(-1e-5)) / 2e-5).epsilon(1e-7));
  }
}

TEST_CASE_TEMPLATE("ChannelGram: large and small numbers are no zeros", S, float, double) {
  support::check_any_scale<S>([](const std::vector<S>& student, const std::vector<S>& teacher, std::vector<S>& grad) {
    return ChannelGram{}(FeatureMapView{student.data(), 1, 3, 1, 2}, FeatureMapView{teacher.data(), 1, 3, 1, 2},
                         FeatureMapView{grad.data(), 1, 3, 1, 2});
  });
}

TEST_CASE("ChannelGram: one channel has no loss and no gradient") {
  for (int k = 1; k < 30; ++k) {
    const std::vector<float> student{0.1f * static_cast<float>(k), 0.3f, 0.7f}, teacher{3, 2, 1};
    std::vector<float> grad(3, 42);
    CHECK(ChannelGram{}(FeatureMapView{student.data(), 1, 1, 1, 3}, FeatureMapView{teacher.data(), 1, 1, 1, 3},
                        FeatureMapView{grad.data(), 1, 1, 1, 3}) == 0);
    CHECK(grad == std::vector<float>(3, 0));
  }
}
