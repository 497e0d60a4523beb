// The one gradient checker: a gradient against central differences, in long double, of a reference function.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "support/reference.hpp"

namespace support {

/// Central differences of `f` at `x`.
template <class F>
reference::Row central_differences(const F& f, reference::Row x, long double step) {
  reference::Row result;
  for (long double& element : x) {
    const long double kept = element;
    element = kept + step;
    const long double above = f(x);
    element = kept - step;
    const long double below = f(x);
    element = kept;
    result.push_back((above - below) / (2 * step));
  }
  return result;
}

/// Checks that `gradient` is that of `f` at `x`, to `tolerance` times the largest entry and the
/// rounding of f, which is of the order of `size`, the terms that f is a difference of. `scale` is the length over
/// which f changes, for a loss at temperature T about T.
template <class F, class Gradient>
void check_gradient(const F& f, const reference::Row& x, const Gradient& gradient, long double tolerance,
                    long double scale = 1, long double size = 1) {
  const reference::Row expected = central_differences(f, x, 1e-5L * scale);
  const long double rounding = 1e-17L * (size + std::abs(f(x))) / (1e-5L * scale);
  long double largest = 0;
  for (const long double element : expected) largest = std::max(largest, std::abs(element));
  long double worst = 0;
  bool all_finite = true;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto element = static_cast<long double>(gradient[i]);
    all_finite = all_finite && std::isfinite(element);
    worst = std::max(worst, std::abs(element - expected[i]));
  }
  CHECK(all_finite);
  CHECK(static_cast<double>(worst) <= static_cast<double>(tolerance * largest + rounding));
}

}  // namespace support
