// 1 - Pearson's correlation of two vectors, and its gradient.
#pragma once

#include <cmath>
#include <cstddef>

#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// From the sums of products of the centred vectors u and v: distance = 1 - u.v / (|u| |v| + epsilon), and its gradient
/// with respect to u is along_u * u + along_v * v. A constant vector is uncorrelated with everything: distance 1,
/// gradient 0.
struct CorrelationDistance {
  double distance = 1;
  double along_u = 0, along_v = 0;

  /// `gap` is |u / |u| - v / |v||^2, so that a distance near 0 keeps its digits.
  CorrelationDistance(double uu, double vv, double uv, double gap, double epsilon) {
    if (std::isnan(uu + vv)) {
      distance = along_u = along_v = uu + vv;
      return;
    }
    if (!(uu > 0) || !(vv > 0)) return;
    const double u = std::sqrt(uu), v = std::sqrt(vv), norms = u * v + epsilon;
    distance = (epsilon + u * v * gap / 2) / norms;
    along_v = -1 / norms;
    along_u = uv / (norms * norms) * v / u;
  }
};

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
