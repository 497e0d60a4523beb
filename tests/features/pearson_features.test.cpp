#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <distill/features/pearson_features.hpp>
#include <limits>
#include <type_traits>
#include <vector>

#include "support/golden_maps.hpp"
#include "support/hidden_loss.hpp"

namespace {

using distill::FeatureMapView;
using distill::PearsonFeatures;
using distill::Reduction;
using reference::Row;

/// Of samples of channels x positions, with `last` of positions x channels.
void check_formula(const PearsonFeatures& loss, std::size_t channels, std::size_t height, std::size_t width,
                   bool last) {
  CAPTURE(channels);
  CAPTURE(last);
  auto checked =
      last ? support::hidden_loss("PearsonFeatures", loss,
                                  [=](const auto& l, auto s, auto t, auto g, const auto& options) {
                                    return l(support::as_nhwc(s, channels, height, width),
                                             support::as_nhwc(t, channels, height, width),
                                             support::as_nhwc(g, channels, height, width), options);
                                  })
           : support::hidden_loss(
                 "PearsonFeatures", loss, [=](const auto& l, auto s, auto t, auto g, const auto& options) {
                   return l(support::as_maps(s, channels, height, width), support::as_maps(t, channels, height, width),
                            support::as_maps(g, channels, height, width), options);
                 });
  const std::size_t positions = height * width;
  const auto at = [=](const Row& row, std::size_t c, std::size_t p) {
    return row[last ? p * channels + c : c * positions + p];
  };
  const auto standardised = [=](const std::vector<Row>& rows, const std::vector<long double>& weights, std::size_t c) {
    long double count = 0, mean = 0, variance = 0;
    for (const long double w : weights) count += w * static_cast<long double>(positions);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t p = 0; p < positions; ++p) mean += weights[i] / count * at(rows[i], c, p);
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t p = 0; p < positions; ++p) {
        variance += weights[i] / (count - 1) * (at(rows[i], c, p) - mean) * (at(rows[i], c, p) - mean);
      }
    }
    std::vector<Row> result;
    for (const Row& row : rows) {
      result.emplace_back();
      for (std::size_t p = 0; p < positions; ++p) {
        result.back().push_back((at(row, c, p) - mean) / (std::sqrt(variance) + loss.epsilon));
      }
    }
    return result;
  };
  checked.student_size = checked.teacher_size = channels * positions;
  checked.poisons_batch = true;
  checked.formula = [=](const std::vector<Row>& student, const std::vector<Row>& teacher,
                        const std::vector<long double>& weights, Reduction reduction) {
    long double sum = 0, total = 0;
    for (const long double w : weights) total += w;
    for (std::size_t c = 0; c < channels; ++c) {
      const auto s = standardised(student, weights, c), t = standardised(teacher, weights, c);
      for (std::size_t i = 0; i < s.size(); ++i) {
        for (std::size_t p = 0; p < positions; ++p) {
          sum += weights[i] * (s[i][p] - t[i][p]) * (s[i][p] - t[i][p]) / 2;
        }
      }
    }
    if (reduction == Reduction::sum) return sum;
    return sum / total / (reduction == Reduction::mean ? 1.0L : static_cast<long double>(channels * positions));
  };
  support::check_hidden_loss(checked);
}

template <class Numbers>
auto one_channel(Numbers& numbers, std::size_t batch) {
  return FeatureMapView{numbers.data(), batch, 1, numbers.size() / batch};
}

}  // namespace

TEST_CASE("PearsonFeatures: value and gradient are the formula's") {
  for (const bool last : {false, true}) {
    check_formula({}, 3, 2, 5, last);
    check_formula({.epsilon = 0.125}, 19, 1, 3, last);
  }
}

TEST_CASE("PearsonFeatures: golden vectors") {
  support::check_golden_maps("pearson_map.mmrazor", [](const auto&) { return PearsonFeatures{.epsilon = 1e-6}; });
}

TEST_CASE_TEMPLATE("PearsonFeatures: (n - 1) / n times 1 - r, whatever the scale and shift", T, float, double) {
  const std::vector<T> student{1, 2, 4, 8, 3, 5}, teacher{3, 1, 5, 9, 2, 6};
  const double r = 0.9119215051751062;
  std::vector<T> expected(6);
  {
    std::vector<T> s = student, t = teacher;
    CHECK(PearsonFeatures{}(one_channel(s, 2), one_channel(t, 2), one_channel(expected, 2)) ==
          doctest::Approx(5.0 / 6 * (1 - r)).epsilon(1e-6));
  }
  const T tiny = std::is_same_v<T, float> ? T(0x1p-120) : T(0x1p-1000), huge = 1 / tiny;  // exact
  for (const T scale : {tiny, T(1), huge}) {
    for (const T shift : {T(0), T(4096)}) {
      for (const T teacher_scale : {tiny, T(1), huge}) {
        CAPTURE(scale);
        CAPTURE(shift);
        CAPTURE(teacher_scale);
        std::vector<T> s, t, grad(6, 42);
        for (const T x : student) s.push_back(scale > 1 ? scale * x / 16 : scale * (x + shift));
        for (const T x : teacher) t.push_back(teacher_scale > 1 ? teacher_scale * x / 16 : teacher_scale * (x + shift));
        PearsonFeatures loss;
        loss.weight = static_cast<double>(scale > 1 ? scale / 16 : scale);
        const double value = loss(one_channel(s, 2), one_channel(t, 2), one_channel(grad, 2));
        CHECK(value / loss.weight == doctest::Approx(5.0 / 6 * (1 - r)).epsilon(1e-6));
        for (std::size_t k = 0; k < 6; ++k) CHECK(std::abs(grad[k] - expected[k]) <= T(1e-7));
      }
    }
  }
}

TEST_CASE("PearsonFeatures: a channel of equal numbers is 0, and so is its gradient") {
  std::vector<double> equal(6, 0.1), other{1, 2, 4, 8, 3, 5}, zeros(6), grad(6, 42);
  for (const double epsilon : {0.0, 0.5}) {
    const PearsonFeatures loss{.epsilon = epsilon, .weight = 3};
    const double deviation = std::sqrt(185.0 / 30);  // of the others
    const double expected = 5.0 / 6 * 3 / 2 * std::pow(deviation / (deviation + epsilon), 2);
    CHECK(loss(one_channel(equal, 2), one_channel(other, 2), one_channel(grad, 2)) == doctest::Approx(expected));
    CHECK(grad == zeros);
    CHECK(loss(one_channel(other, 2), one_channel(equal, 2), one_channel(grad, 2)) == doctest::Approx(expected));
    if (epsilon == 0) CHECK(grad == zeros);
    CHECK(loss(one_channel(equal, 2), one_channel(equal, 2), one_channel(grad, 2)) == 0);
    CHECK(grad == zeros);
    CHECK(loss(one_channel(other, 2), one_channel(other, 2), one_channel(grad, 2)) == 0);
    CHECK(grad == zeros);
  }
  std::vector<double> one{3}, another{5}, gradient{42};  // has no deviation
  CHECK(PearsonFeatures{}(one_channel(one, 1), one_channel(another, 1), one_channel(gradient, 1)) == 0);
  CHECK(gradient[0] == 0);
}

TEST_CASE("PearsonFeatures: a sample counts as often as it weighs") {
  const std::vector<double> student{1, 2, 0, 3, -1, 2, 0.5, 0, 1}, teacher{0, 1, 2, 2, 1, 0, 1, 0.25, -1};
  std::vector<double> twice_student(student), twice_teacher(teacher);
  twice_student.insert(twice_student.end(), student.begin() + 3, student.begin() + 6);
  twice_teacher.insert(twice_teacher.end(), teacher.begin() + 3, teacher.begin() + 6);
  const std::vector<float> weights{1, 2, 1};
  distill::RowOptions options;
  options.weights = weights;
  CHECK(
      PearsonFeatures{}(one_channel(student, 3), one_channel(teacher, 3), options) ==
      doctest::Approx(PearsonFeatures{}(one_channel(twice_student, 4), one_channel(twice_teacher, 4))).epsilon(1e-12));
}

TEST_CASE("PearsonFeatures: NaN and infinities make their channel NaN in all samples") {
  for (const float poison : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const bool in_teacher : {false, true}) {
      std::vector<float> student(24), teacher(24), grad(24, 42);
      for (std::size_t k = 0; k < 24; ++k) {
        student[k] = static_cast<float>(k * 7 % 5);
        teacher[k] = static_cast<float>(k * 5 % 7);
      }
      (in_teacher ? teacher : student)[13] = poison;  // sample 1, channel 0
      std::vector<double> losses(2);
      distill::RowOptions options;
      options.losses = losses;
      const auto maps = [](auto& v) { return FeatureMapView{v.data(), 2, 2, 6}; };
      CHECK(std::isnan(PearsonFeatures{}(maps(student), maps(teacher), maps(grad), options)));
      for (const double loss : losses) CHECK(std::isnan(loss));
      for (std::size_t k = 0; k < 24; ++k) CHECK(std::isnan(grad[k]) == (k / 6 % 2 == 0));
    }
  }
}

TEST_CASE("PearsonFeatures: parameters out of range, and maps of another shape, throw") {
  std::vector<float> student(12, 1), teacher(12, 2), grad(12, 42);
  const FeatureMapView s{student.data(), 1, 3, 2, 2}, t{teacher.data(), 1, 3, 2, 2}, g{grad.data(), 1, 3, 2, 2};
  for (const double epsilon : {-1.0, std::numeric_limits<double>::quiet_NaN()}) {
    support::check_throws([&] { PearsonFeatures{.epsilon = epsilon}(s, t, g); },
                          {"PearsonFeatures: epsilon is ", "expected a finite number of at least 0"});
  }
  support::check_throws(
      [&] {
        PearsonFeatures{}(s, FeatureMapView{teacher.data(), 1, 2, 2, 2}, g);
      },
      {"PearsonFeatures: teacher is 1 x 2 x 2 x 2, student is 1 x 3 x 2 x 2"});
  CHECK(grad == std::vector<float>(12, 42));
}
