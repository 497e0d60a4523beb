#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <distill/features/margin_relu.hpp>
#include <limits>
#include <string>
#include <vector>

#include "support/golden.hpp"
#include "support/hidden_loss.hpp"

namespace {

using distill::FeatureMapView;
using distill::MarginRelu;

constexpr double infinity = std::numeric_limits<double>::infinity();

long double partial_square(long double s, long double t, long double margin) {
  t = std::max(t, margin);
  return s <= t && t <= 0 ? 0 : (s - t) * (s - t);
}

/// Of samples of channels x positions, with `last` of positions x channels. Margins are exact in two bytes.
void check_formula(std::size_t channels, std::size_t height, std::size_t width, bool last) {
  CAPTURE(channels);
  CAPTURE(last);
  std::vector<double> margins;
  for (std::size_t c = 0; c < channels; ++c) margins.push_back(c == 2 ? -infinity : -0.25 * static_cast<double>(c % 5));
  const auto maps = [=](const auto& view) {
    return last ? support::as_nhwc(view, channels, height, width) : support::as_maps(view, channels, height, width);
  };
  auto checked = support::hidden_loss("MarginRelu", MarginRelu{},
                                      [=](const auto& loss, auto s, auto t, auto g, const auto& options) {
                                        return loss(maps(s), maps(t), margins, maps(g), options);
                                      });
  const std::size_t positions = height * width;
  checked.student_size = checked.teacher_size = checked.sum_terms = channels * positions;
  checked.has_kinks = true;  // the second derivative's, which central differences of equal numbers show
  checked.sample = [=](const reference::Row& student, const reference::Row& teacher) {
    long double sum = 0;
    for (std::size_t k = 0; k < student.size(); ++k) {
      sum += partial_square(student[k], teacher[k], margins[last ? k % channels : k / positions]);
    }
    return sum;
  };
  support::check_hidden_loss(checked);
}

void check_golden(const std::string& name, const MarginRelu& loss) {
  for (const auto& golden : support::golden_cases(name)) {
    CAPTURE(name);
    CAPTURE(golden.at("name").get<std::string>());
    const auto numbers = [&](const char* input) {
      return golden.at("inputs").at(input).at("data").get<std::vector<double>>();
    };
    const auto shape = golden.at("inputs").at("student").at("shape").get<std::vector<std::size_t>>();
    const auto maps = [&](auto& data) { return FeatureMapView{data.data(), shape[0], shape[1], shape[2], shape[3]}; };
    const bool has_margin = golden.at("inputs").contains("margin");
    const std::vector<double> student = numbers("student"), teacher = numbers("teacher"),
                              margins = has_margin ? numbers("margin") : std::vector<double>(shape[1], -infinity);
    std::vector<double> grad(student.size(), 42);
    support::check_golden_loss(golden, loss(maps(student), maps(teacher), margins, maps(grad)));
    support::check_golden_gradient(golden, grad);
  }
}

}  // namespace

TEST_CASE("MarginRelu: value and gradient are the formula's") {
  for (const bool last : {false, true}) {
    check_formula(3, 2, 4, last);
    check_formula(1, 5, 7, last);
    check_formula(19, 1, 1, last);
  }
}

TEST_CASE("MarginRelu: golden vectors") {
  check_golden("ofd_margin.mdistiller", {});
  check_golden("ofd.mmrazor", {.weight = 1.0 / 1000});
}

TEST_CASE("MarginRelu: student, teacher and gradient in different orders") {
  constexpr std::size_t batch = 2, channels = 21, height = 3, width = 4, positions = height * width;
  std::vector<float> first(batch * channels * positions), last(first.size()), teacher(first.size()), margins(channels);
  for (std::size_t k = 0; k < first.size(); ++k) {
    const std::size_t n = k / (channels * positions), c = k / positions % channels, p = k % positions;
    first[k] = static_cast<float>(k * 7 % 31) / 8 - 2;
    last[(n * positions + p) * channels + c] = first[k];
    teacher[k] = static_cast<float>(k * 5 % 23) / 8 - 2;
    margins[c] = -static_cast<float>(c) / 8;
  }
  const auto maps = [](std::vector<float>& v) { return FeatureMapView{v.data(), batch, channels, height, width}; };
  const auto nhwc = [](std::vector<float>& v) { return distill::nhwc(v.data(), batch, height, width, channels); };
  std::vector<float> grad(first.size(), 42), grad_mixed(first.size(), 42);
  const double value = MarginRelu{}(maps(first), maps(teacher), margins, maps(grad));
  CHECK(MarginRelu{}(nhwc(last), maps(teacher), margins, maps(grad_mixed)) == value);
  CHECK(grad_mixed == grad);
}

TEST_CASE("MarginRelu: what is masked everywhere is 0, without a second look at tiny numbers") {
  std::vector<float> student{-1, -2, -0.5f, 1e-30f}, teacher{-0.5f, -1, -0.5f, 1e-30f}, grad(4, 42);
  const auto maps = [](auto& v) { return FeatureMapView{v.data(), 1, 1, 4}; };
  CHECK(MarginRelu{}(maps(student), maps(teacher), std::vector<float>{-1}, maps(grad)) == 0);
  CHECK(grad == std::vector<float>(4, 0));
  student[3] = 3e-30f;  // the square is no float
  CHECK(MarginRelu{}(maps(student), maps(teacher), std::vector<float>{-1}, maps(grad)) ==
        doctest::Approx(4e-60).epsilon(1e-6));
  CHECK(grad[3] == doctest::Approx(4e-30f).epsilon(1e-6));
  student[0] = 1e30f;
  CHECK(MarginRelu{}(maps(student), maps(teacher), std::vector<float>{-1}, maps(grad)) ==
        doctest::Approx(1e60).epsilon(1e-6));
  CHECK(grad[0] == doctest::Approx(2e30f).epsilon(1e-6));
}

TEST_CASE("batch_norm_margin: the mean of the negative part of a normal") {
  const auto by_integral = [](long double mean, long double deviation) {  // by the midpoint rule
    long double mass = 0, moment = 0;
    const long double step = 12 * deviation / 2e5L, from = std::min(mean - 10 * deviation, -12 * deviation);
    for (long double x = from + step / 2; x < 0; x += step) {
      const long double z = (x - mean) / deviation, nearest = std::min(mean, 0.0L) / deviation - mean / deviation;
      const long double density = std::exp((nearest * nearest - z * z) / 2);
      mass += density;
      moment += density * x;
    }
    return moment / mass;
  };
  for (const double z : {-4.0, -1.0, 0.0, 0.5, 2.0, 3.1, 4.9, 5.1, 20.0}) {
    CAPTURE(z);
    CHECK(distill::batch_norm_margin(2 * z, 2) ==
          doctest::Approx(static_cast<double>(by_integral(2 * z, 2))).epsilon(1e-7));
    CHECK(distill::batch_norm_margin(2 * z, -2) == distill::batch_norm_margin(2 * z, 2));
  }
  CHECK(distill::batch_norm_margin(-3, 0) == -3);
  CHECK(distill::batch_norm_margin(3, 0) == 0);
  CHECK(distill::batch_norm_margin(0, 0) == 0);
  CHECK(distill::batch_norm_margin(1e300, 1e-300) == 0);
  support::check_throws([] { distill::batch_norm_margin(infinity, 1); }, {"batch_norm_margin: mean is inf"});
}

TEST_CASE("MarginRelu: margins that do not fit throw") {
  std::vector<float> student(12, 1), teacher(12, 2), grad(12, 42);
  const auto call = [&](const auto& margins) {
    MarginRelu{}(FeatureMapView{student.data(), 1, 3, 2, 2}, FeatureMapView{teacher.data(), 1, 3, 2, 2}, margins,
                 FeatureMapView{grad.data(), 1, 3, 2, 2});
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  support::check_throws(
      [&] {
        call(std::vector<float>{0, -1, 0.5f});
      },
      {"MarginRelu: margins[2] is 0.5, expected at most 0"});
  support::check_throws([&] { call(std::vector<float>{0, nan, 0}); }, {"MarginRelu: margins[1] is nan"});
  support::check_throws([&] { call(std::vector<float>{0, -1}); }, {"MarginRelu: margins is 1 x 2, expected 1 x 3"});
  CHECK(grad == std::vector<float>(12, 42));
  grad.assign(12, -1);
  support::check_throws([&] { call(distill::MatrixView{grad.data() + 3, 1, 3}); }, {"grad overlaps margins"});
  CHECK(grad == std::vector<float>(12, -1));
}
