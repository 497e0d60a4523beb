// The rows of the losses on hidden layers, on every architecture that one build can run.
#include <doctest/doctest.h>
#include <distill/kernels/maps/attention_row.hpp>
#include <distill/kernels/rows/feature_row.hpp>

#include <cmath>
#include <initializer_list>
#include <vector>

#include "support/architectures.hpp"
#include "support/data.hpp"
#include "support/reference_hidden.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::kernels::Lanes;

/// Compares row(s, t, grad), which returns the loss, with the reference.
template <class T, class RowFunction>
void check(const distill::FeatureMatching& loss, std::size_t n, double size, const RowFunction& row) {
  support::Scores<T, T> x(support::Kind::random, 1, n, static_cast<unsigned>(n));
  for (std::size_t j = 0; j < n; ++j) {
    x.student.set(0, j, static_cast<double>(x.student.at(0, j)) * size);
    x.teacher.set(0, j, static_cast<double>(x.teacher.at(0, j)) * size);
  }
  const reference::Result expected = reference::feature_matching(loss, x.student.row(0), x.teacher.row(0));
  support::Matrix<T> grad(1, n);
  const double value = row(&x.student.at(0, 0), &x.teacher.at(0, 0), &grad.at(0, 0));
  const double tolerance = 4 * tolerances::Tolerance<T>::gradient;
  CHECK(value == doctest::Approx(static_cast<double>(expected.loss)).epsilon(tolerance));
  long double largest = 0;
  for (const long double g : expected.gradient) largest = std::max(largest, std::abs(g));
  for (std::size_t j = 0; j < n; ++j) {
    CHECK(static_cast<double>(std::abs(support::number(grad.at(0, j)) - expected.gradient[j])) <=
          static_cast<double>(largest) * tolerance);
  }
  CHECK(grad.guards_are_whole());
}

}  // namespace

TEST_CASE_TEMPLATE("rows of features", Arch, DISTILL_TEST_ARCHITECTURES) {
  const auto run = [](auto type) {
    using T = decltype(type);
    using L = Lanes<T, Arch>;
    for (const std::size_t n : std::initializer_list<std::size_t>{1, 3, 8, 17, 64, 1000}) {
      for (const double size : {1.0, 1e17, 1e-16}) {  // in float: ordinary, and both ways out of range
        distill::FeatureMatching loss;
        check<T>(loss, n, size, [&](const T* s, const T* t, T* grad) {
          return distill::kernels::difference_row<L>(distill::kernels::SquaredDifference{}, s, t, n, 1,
                                                     distill::kernels::GradientRow<T>{grad});
        });
        loss.distance = distill::FeatureDistance::smooth_l1;
        loss.delta = 2 * size;
        check<T>(loss, n, size, [&](const T* s, const T* t, T* grad) {
          return distill::kernels::difference_row<L>(distill::kernels::SmoothDifference{loss.delta}, s, t, n, 1,
                                                     distill::kernels::GradientRow<T>{grad});
        });
        if (n == 1) continue;  // a unit row of one number has no gradient but rounding
        loss.distance = distill::FeatureDistance::cosine;
        check<T>(loss, n, size, [&](const T* s, const T* t, T* grad) {
          return distill::kernels::cosine_row<L>(s, t, n, 1, distill::kernels::GradientRow<T>{grad});
        });
      }
    }
  };
  run(float{});
  run(double{});
}

TEST_CASE_TEMPLATE("rows of attention maps", Arch, DISTILL_TEST_ARCHITECTURES) {
  using namespace distill::kernels;
  using L = Lanes<float, Arch>;
  for (const bool channels_last : {false, true}) {
    for (const double size : {1.0, 1e12, 1e-8}) {  // squares of squares overflow or vanish in float
      const std::size_t channels = 19, height = 5, width = 7, positions = height * width;
      const support::Scores<float, float> x(support::Kind::random, 1, channels * positions);
      std::vector<float> student(channels * positions), grad(student.size());
      reference::Maps s{{}, channels, height, width}, t{x.teacher.row(0), channels, height, width};
      s.data.resize(student.size());
      const std::size_t channel_stride = channels_last ? 1 : positions, position_stride = channels_last ? channels : 1;
      const auto at = [&](std::size_t k) { return k / positions * channel_stride + k % positions * position_stride; };
      for (std::size_t k = 0; k < student.size(); ++k) {
        student[at(k)] = x.student.at(0, k) * static_cast<float>(size);
        s.data[k] = support::number(student[at(k)]);
      }
      const AttentionSample<float, float> sample{
          {student.data(), channels, height, width, channel_stride, position_stride},
          {&x.teacher.at(0, 0), channels, height, width, positions, 1},
          {grad.data(), channels, height, width, channel_stride, position_stride},
          height,
          width,
          false};
      distill::AttentionTransfer loss;
      loss.power = 4;
      const reference::Result expected = reference::attention_transfer(loss, s, t);
      const double value = attention_row<L>(IntegerPower{4}, SquaredDifference{}, Outer::sum, sample, size);
      CHECK(value == doctest::Approx(static_cast<double>(expected.loss)).epsilon(1e-4));
      long double largest = 0, worst = 0;
      for (std::size_t k = 0; k < student.size(); ++k) {
        largest = std::max(largest, std::abs(expected.gradient[k] * size));
        worst = std::max(worst, std::abs(support::number(grad[at(k)]) - expected.gradient[k] * size));
      }
      CHECK(static_cast<double>(worst) <= 1e-4 * static_cast<double>(largest));
    }
  }
}
