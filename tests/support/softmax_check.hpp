// Checks that softmax and log_softmax share.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <distill/logits/softmax.hpp>
#include <initializer_list>
#include <type_traits>
#include <vector>

#include "support/data.hpp"
#include "support/gradient_check.hpp"
#include "support/loss_check.hpp"
#include "support/reference.hpp"
#include "support/tolerances.hpp"

namespace support {

/// The tolerance for an element that should be `expected`: ULPs of the computed type, rounding to the stored type, and
/// numbers below the smallest normal one, which may be 0.
template <class Out, class Compute>
long double element_tolerance(long double expected) {
  const long double ulp = std::numeric_limits<Compute>::epsilon();
  long double tolerance = std::abs(expected) * ulp * tolerances::Tolerance<Compute>::softmax_ulp +
                          static_cast<long double>(std::numeric_limits<Compute>::min());
  if constexpr (distill::detail::format_of<Out> == distill::Format::float16) {
    tolerance += std::abs(expected) * tolerances::half_rounding + tolerances::half_smallest;
  } else if constexpr (distill::detail::format_of<Out> == distill::Format::brain16) {
    tolerance += std::abs(expected) * tolerances::bfloat16_rounding;
  } else if constexpr (std::is_same_v<Out, float>) {
    tolerance += std::abs(expected) * tolerances::float_rounding;
  }
  return tolerance;
}

/// The largest error over the tolerance: at most 1 if all is well.
template <class Compute, class Out>
double element_error(const Matrix<Out>& out, std::size_t i, const reference::Row& expected, long double extra = 0) {
  long double worst = 0;
  for (std::size_t j = 0; j < expected.size(); ++j) {
    const long double error = std::abs(number(out.at(i, j)) - expected[j]);
    if (error == 0) continue;
    const long double ratio = error / (element_tolerance<Out, Compute>(expected[j]) + extra);
    worst = ratio <= worst ? worst : ratio;
  }
  return static_cast<double>(worst);
}

/// `Types::Student` is the input's type, `Types::Teacher` the output's.
template <class Types, class Function, class Reference>
void check_rows(const Function& function, const Reference& expected) {
  using In = typename Types::Student;
  using Out = typename Types::Teacher;
  const auto check = [&](const Matrix<In>& x, double temperature, distill::Precision precision) {
    Matrix<Out> out(x.rows(), x.cols(), x.cols() + 3, 1);
    distill::SoftmaxOptions options;
    options.precision = precision;
    function(x.view(), out.view(), temperature, options);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      const reference::Row row = expected(x.row(i), temperature);
      long double extra = 0;  // double is published relative to the row's maximum
      if constexpr (std::is_same_v<typename Types::Compute, double>) {
        for (const long double e : row) extra = std::max(extra, tolerances::double_softmax * std::abs(e));
      }
      CHECK(element_error<typename Types::Compute>(out, i, row, extra) <= 1);
    }
    CHECK(out.guards_are_whole());
  };
  for (const distill::Precision precision : both_precisions) {
    for (const std::size_t cols : column_counts) {
      for (const Kind kind : {Kind::random, Kind::wide}) {
        const Scores<In, Out> scores(kind, cols > 1000 ? 1 : 3, cols, 4, cols % 3, cols % 2);
        for (const double temperature : temperatures) {
          CAPTURE(cols);
          CAPTURE(name(kind));
          CAPTURE(temperature);
          CAPTURE(precision == distill::Precision::high);
          check(scores.student, temperature, precision);
        }
      }
    }
    check(Scores<In, Out>(Kind::random, 1, long_row).student, 2, precision);
  }
}

/// d (g . f(x)) / dx against differences of the reference. `Types::Student` is the type of f(x) and of the gradient,
/// `Types::Teacher` that of g.
template <class Types, class Backward, class Forward, class Reference>
void check_backward(const Backward& backward, const Forward& forward, const Reference& expected) {
  using S = typename Types::Student;
  using T = typename Types::Teacher;
  for (const std::size_t cols : std::initializer_list<std::size_t>{1, 2, 7, 10, 41}) {
    for (const double temperature : temperatures) {
      const Scores<S, T> scores(Kind::random, 2, cols, 6, 2, 1);
      Matrix<S> output(2, cols), grad(2, cols, cols + 4, 1);
      grad.fill(123);
      forward(scores.student.view(), output.view(), temperature);
      backward(output.view(), scores.teacher.view(), grad.view(), temperature);
      CHECK(grad.guards_are_whole());
      for (std::size_t i = 0; i < 2; ++i) {
        CAPTURE(cols);
        CAPTURE(temperature);
        const reference::Row g = scores.teacher.row(i);
        const auto dot = [&](const reference::Row& x) {
          const reference::Row y = expected(x, temperature);
          long double sum = 0;
          for (std::size_t j = 0; j < y.size(); ++j) sum += y[j] * g[j];
          return sum;
        };
        long double size = 0;
        for (const long double element : g) size += std::abs(element);
        if constexpr (std::is_same_v<S, double>) {
          if (cols > 1)
            check_gradient(dot, scores.student.row(i), grad.row(i), tolerances::finite_difference, temperature);
        }
        // the output is rounded to S, and in logarithms that is an error of probabilities
        long double rounding = std::is_same_v<S, double>          ? 1e-7L
                               : std::is_same_v<S, float>         ? 1e-5L
                               : std::is_same_v<S, distill::half> ? 1.0L / 64
                                                                  : 1.0L / 8;
        if (temperature < 0.1) rounding *= 8;
        const reference::Row differences = central_differences(dot, scores.student.row(i), 1e-5L * temperature);
        for (std::size_t j = 0; j < cols; ++j) {
          CHECK(static_cast<double>(std::abs(number(grad.at(i, j)) - differences[j])) <=
                static_cast<double>(rounding * size / temperature));
        }
      }
    }
  }
}

}  // namespace support
