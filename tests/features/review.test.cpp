#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <distill/features/review.hpp>
#include <limits>
#include <vector>

#include "support/golden_maps.hpp"
#include "support/hidden_loss.hpp"
#include "support/reference_hidden.hpp"

namespace {

using distill::FeatureMapView;
using distill::Review;
using reference::Row;

void check_formula(const Review& loss, std::size_t channels, std::size_t height, std::size_t width, bool last) {
  CAPTURE(height);
  CAPTURE(width);
  CAPTURE(last);
  const auto maps = [=](const auto& m) {
    return last ? support::as_nhwc(m, channels, height, width) : support::as_maps(m, channels, height, width);
  };
  auto checked = support::hidden_loss("Review", loss, [=](const auto& l, auto s, auto t, auto g, const auto& options) {
    return l(maps(s), maps(t), maps(g), options);
  });
  checked.student_size = checked.teacher_size = channels * height * width;
  checked.sample = [=](const Row& student, const Row& teacher) {
    reference::Maps difference{Row(student.size()), channels, height, width};
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t p = 0; p < height * width; ++p) {
        const std::size_t k = last ? p * channels + c : c * height * width + p;
        difference.data[c * height * width + p] = student[k] - teacher[k];
      }
    }
    const auto mean_square = [](const reference::Maps& m) {
      return reference::dot(m.data, m.data) / static_cast<long double>(m.data.size());
    };
    long double sum = mean_square(difference), total = 1, level_weight = 1;
    for (const std::size_t size : {4, 2, 1}) {
      if (size >= height) continue;
      level_weight *= loss.level_weight;
      sum += level_weight * mean_square(reference::average_pool(difference, size, size));
      total += level_weight;
    }
    return sum / total;
  };
  support::check_hidden_loss(checked);
}

}  // namespace

TEST_CASE("Review: value and gradient are the formula's") {
  check_formula({}, 2, 5, 5, false);
  check_formula({}, 2, 6, 3, true);  // pooled to more columns than there are
  check_formula({.level_weight = 2}, 3, 3, 5, false);
  check_formula({.level_weight = 0}, 2, 5, 1, true);
  check_formula({}, 19, 1, 2, true);
}

TEST_CASE("Review: golden vectors") {
  support::check_golden_maps("reviewkd_hcl.mdistiller", [](const auto&) { return Review{}; });
}

TEST_CASE("Review: maps that fill whole lanes, against maps of doubles") {
  constexpr std::size_t channels = 3, height = 14, width = 19, n = channels * height * width;
  std::vector<float> student(n), teacher(n), grad(n);
  for (std::size_t k = 0; k < n; ++k) {
    student[k] = static_cast<float>(k * 7 % 31) / 8;
    teacher[k] = static_cast<float>(k * 5 % 23) / 8;
  }
  const std::vector<double> s(student.begin(), student.end()), t(teacher.begin(), teacher.end());
  std::vector<double> expected(n);
  const auto maps = [](auto& v) { return FeatureMapView{v.data(), 1, channels, height, width}; };
  const double value = Review{}(maps(s), maps(t), maps(expected));
  CHECK(Review{}(maps(student), maps(teacher), maps(grad)) == doctest::Approx(value).epsilon(1e-6));
  for (std::size_t k = 0; k < n; ++k) CHECK(std::abs(static_cast<double>(grad[k]) - expected[k]) <= 1e-8);
}

TEST_CASE_TEMPLATE("Review: differences whose squares overflow or vanish", T, float, double) {
  const auto maps = [](auto& v) { return FeatureMapView{v.data(), 1, 1, 3, 2}; };
  const std::vector<T> usual{1, -2, 0.5, 3, 0, 1};
  std::vector<T> zeros(6), expected(6);
  const double value = Review{}(maps(usual), maps(zeros), maps(expected));
  const T tiny = std::is_same_v<T, float> ? T(0x1p-100) : T(0x1p-1000);
  for (const T size : {tiny, 1 / tiny}) {
    std::vector<T> student, grad(6);
    for (const T x : usual) student.push_back(x * size);
    Review loss;
    loss.weight = static_cast<double>(1 / size);
    const double scaled = loss(maps(student), maps(zeros), maps(grad));
    if (std::is_same_v<T, float>) CHECK(scaled / static_cast<double>(size) == doctest::Approx(value).epsilon(1e-6));
    for (std::size_t k = 0; k < 6; ++k) CHECK(std::abs(grad[k] - expected[k]) <= T(1e-6));
  }
  CHECK(Review{}(maps(usual), maps(usual), maps(expected)) == 0);
  CHECK(expected == zeros);
}

TEST_CASE("Review: parameters out of range, and maps of another shape, throw") {
  std::vector<float> student(12, 1), teacher(12, 2), grad(12, 42);
  const FeatureMapView s{student.data(), 1, 3, 2, 2}, t{teacher.data(), 1, 3, 2, 2}, g{grad.data(), 1, 3, 2, 2};
  for (const double level_weight : {-1.0, std::numeric_limits<double>::infinity()}) {
    support::check_throws([&] { Review{.level_weight = level_weight}(s, t, g); },
                          {"Review: level_weight is ", "expected a number from 0 to 1e6"});
  }
  support::check_throws(
      [&] {
        Review{}(s, FeatureMapView{teacher.data(), 1, 3, 4, 1}, g);
      },
      {"Review: teacher is 1 x 3 x 4 x 1, student is 1 x 3 x 2 x 2"});
  CHECK(grad == std::vector<float>(12, 42));
}
