// 1 - Pearson's correlation of two vectors, and its gradient.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// From the squares of the centred vectors u and v: distance = 1 - u.v / (|u| |v| + epsilon). A constant vector is
/// uncorrelated with all: distance 1, gradient 0.
struct CorrelationDistance {
  double distance = 1;
  double slope = 0, ratio = 0;

  /// `gap` is |u / |u| - v / |v||^2, so that a distance near 0 keeps its digits, and is 0 where u = v.
  CorrelationDistance(double uu, double vv, double gap, double epsilon) {
    if (std::isnan(uu + vv)) {
      distance = slope = ratio = uu + vv;
      return;
    }
    constexpr double least = (std::numeric_limits<double>::min)();  // below, 1 / (|u| |v|) may be beyond the numbers
    if (!(uu >= least) || !(vv >= least)) return;
    const double u = std::sqrt(uu), v = std::sqrt(vv), norms = u * v + epsilon;
    distance = (std::min)((epsilon + u * v * gap / 2) / norms, 2.0);  // in this order NaN stays
    slope = 1 / norms;
    ratio = (1 - distance) * (v / u);
  }

  /// Of an element of u, with v's element beside it; 0 where u = v
  double gradient(double u, double v) const { return slope * (ratio * u - v); }
};

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
