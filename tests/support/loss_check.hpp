// Compares a loss on rows with the reference's rows: value, gradient, per-row losses, reduction, weights.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <string>
#include <vector>

#include "support/data.hpp"
#include "support/reference.hpp"
#include "support/tolerances.hpp"

namespace support {

/// How far one gradient element may be from `expected`; `unit` is the factor of the largest probability.
template <class Stored, class Compute>
long double gradient_tolerance(long double expected, long double unit) {
  long double tolerance = tolerances::Tolerance<Compute>::gradient * unit;
  if constexpr (distill::detail::format_of<Stored> == distill::Format::float16) {
    tolerance += std::abs(expected) * tolerances::half_rounding + tolerances::half_smallest;
  } else if constexpr (distill::detail::format_of<Stored> == distill::Format::brain16) {
    tolerance += std::abs(expected) * tolerances::bfloat16_rounding;
  } else if constexpr (std::is_same_v<Stored, float>) {
    tolerance += std::abs(expected) * tolerances::float_rounding;
  }
  return tolerance;
}

/// The largest |actual - expected| / tolerance in a row; at most 1 if all is well, NaN if anything is NaN.
template <class Compute, class Stored>
double gradient_error(const Matrix<Stored>& actual, std::size_t i, const reference::Row& expected, long double factor,
                      long double unit) {
  long double worst = 0;
  for (std::size_t j = 0; j < expected.size(); ++j) {
    const long double e = factor * expected[j];
    const long double difference = std::abs(number(actual.at(i, j)) - e);
    if (difference == 0) continue;
    const long double error = difference / gradient_tolerance<Stored, Compute>(e, std::abs(factor) * unit);
    worst = error <= worst ? worst : error;
  }
  return static_cast<double>(worst);
}

/// The expected rows of a loss; tolerances apply before the factors `value_unit` and `gradient_unit` (for KL: S and S /
/// T).
struct Expected {
  std::vector<reference::Result> rows;
  long double value_unit = 1;
  long double gradient_unit = 1;
};

struct Factors {
  double weight = 1;
  distill::Reduction reduction = distill::Reduction::mean;
  std::vector<float> row_weights = {};  // empty: all 1
  std::size_t terms = 0;                // that per_element counts in a row; 0: the columns
};

inline double divisor(const Factors& factors, std::size_t rows, std::size_t cols) {
  if (factors.terms != 0) cols = factors.terms;
  double sum = factors.row_weights.empty() ? static_cast<double>(rows) : 0;
  for (const float w : factors.row_weights) sum += static_cast<double>(w);
  if (factors.reduction == distill::Reduction::sum) return 1;
  return factors.reduction == distill::Reduction::per_element ? sum * static_cast<double>(cols) : sum;
}

/// `call(grad, options)` and `value_only(options)` return the loss. `Compute` is the computed type.
template <class Compute, class Stored, class Call, class ValueOnly>
void check_loss(Matrix<Stored> grad, const Expected& expected, const Factors& factors, const Call& call,
                const ValueOnly& value_only) {
  using Tolerance = tolerances::Tolerance<Compute>;
  const std::size_t rows = expected.rows.size();
  const double scale = factors.weight / divisor(factors, rows, grad.cols());
  std::vector<double> losses(rows, -1);
  distill::RowOptions options;
  options.losses = losses;
  if (!factors.row_weights.empty()) options.weights = factors.row_weights;
  const double value = call(grad.view(), options);
  const double value_again = value_only(options);

  long double total = 0, total_tolerance = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    const double row_weight = factors.row_weights.empty() ? 1 : static_cast<double>(factors.row_weights[i]);
    const reference::Result& row = expected.rows[i];
    const long double tolerance = Tolerance::value * std::max(expected.value_unit, std::abs(row.loss));
    const double expected_loss = row_weight == 0 ? 0 : static_cast<double>(row.loss);
    CHECK(static_cast<double>(std::abs(losses[i] - static_cast<long double>(expected_loss))) <=
          static_cast<double>(tolerance));
    total += row_weight * row.loss;
    total_tolerance += row_weight * tolerance;
    CHECK(gradient_error<Compute>(grad, i, row.gradient, scale * row_weight, expected.gradient_unit) <= 1);
  }
  CHECK(static_cast<double>(std::abs(value - scale * total)) <= static_cast<double>(std::abs(scale) * total_tolerance));
  CHECK(static_cast<double>(std::abs(value_again - scale * total)) <=
        static_cast<double>(std::abs(scale) * total_tolerance));
  CHECK(grad.guards_are_whole());
}

inline constexpr distill::Precision both_precisions[] = {distill::Precision::standard, distill::Precision::high};
inline constexpr distill::Reduction all_reductions[] = {distill::Reduction::mean, distill::Reduction::sum,
                                                        distill::Reduction::per_element};
inline constexpr double temperatures[] = {0.05, 0.5, 1, 4, 30, 100};
inline constexpr std::size_t column_counts[] = {1, 2, 7, 10, 41, 1271};
inline constexpr std::size_t long_row = 262144;

template <class S, class T>
struct Types {
  using Student = S;
  using Teacher = T;
  using Compute = distill::detail::compute_t<S, T>;
};

// student_teacher
using float_float = Types<float, float>;
using float_double = Types<float, double>;
using double_double = Types<double, double>;
using double_half = Types<double, distill::half>;
using half_half = Types<distill::half, distill::half>;
using half_bfloat16 = Types<distill::half, distill::bfloat16>;
using bfloat16_float = Types<distill::bfloat16, float>;
using bfloat16_bfloat16 = Types<distill::bfloat16, distill::bfloat16>;

}  // namespace support

#define DISTILL_TEST_TYPES float, double, distill::half, distill::bfloat16
// Not all sixteen pairs, to keep compilation short; each type appears on both sides, and computing in double both ways.
#define DISTILL_TEST_TYPE_PAIRS                                                                                  \
  support::float_float, support::float_double, support::double_double, support::double_half, support::half_half, \
      support::half_bfloat16, support::bfloat16_float, support::bfloat16_bfloat16
// The losses on hidden layers share their loads and stores with those on logits, so fewer pairs do.
#define DISTILL_TEST_FEW_TYPE_PAIRS \
  support::float_float, support::double_half, support::half_half, support::bfloat16_float
