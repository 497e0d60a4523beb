// Squared distance of two Gram matrices whose rows have unit length.
#pragma once

#include <cmath>
#include <cstddef>

#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// sum_j w_j (s_j / |s| - t_j / |t|)^2 with |s|^2 = sum_j w_j s_j^2, for w of `weight(j)`; a row of length 0 stays 0.
/// With `wants_gradient` s becomes the gradient with respect to s, times factor.
template <class C, class Weight>
double similarity_row(C* s, const C* t, std::size_t n, const Weight& weight, double factor, bool wants_gradient) {
  double ss = 0, tt = 0;
  for (std::size_t j = 0; j < n; ++j) {
    ss += weight(j) * static_cast<double>(s[j]) * static_cast<double>(s[j]);
    tt += weight(j) * static_cast<double>(t[j]) * static_cast<double>(t[j]);
  }
  const double a = ss == 0 ? 0 : 1 / std::sqrt(ss), b = tt == 0 ? 0 : 1 / std::sqrt(tt);
  double loss = 0, along = 0;
  for (std::size_t j = 0; j < n; ++j) {
    const double u = a * static_cast<double>(s[j]), e = u - b * static_cast<double>(t[j]);
    loss += weight(j) * e * e;
    along += weight(j) * e * u;
  }
  for (std::size_t j = 0; wants_gradient && j < n; ++j) {
    const double u = a * static_cast<double>(s[j]), e = u - b * static_cast<double>(t[j]);
    s[j] = static_cast<C>(2 * factor * a * weight(j) * (e - u * along));
  }
  return loss;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
