// Sums in lanes that lose no more than a sum in twice the precision would.
#pragma once

#include <cstddef>

#include <distill/core/version.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// A compensated sum in lanes (Kahan): as accurate as a sum in twice the precision.
template <class L>
struct CompensatedSum {
  using T = typename L::Scalar;
  L sum = L(T(0));
  L excess = L(T(0));  // the excess of sum

  void add(L x) {
    const L y = x - excess;
    const L t = sum + y;
    excess = (t - sum) - y;
    sum = t;
  }
  void scale(double power_of_two) {
    sum = sum * L(static_cast<T>(power_of_two));
    excess = excess * L(static_cast<T>(power_of_two));
  }
  double total() const {
    alignas(64) T sums[L::width], excesses[L::width];
    store(sum, sums);
    store(excess, excesses);
    double totals[L::width];
    for (std::size_t i = 0; i < L::width; ++i) {
      totals[i] = static_cast<double>(sums[i]) - static_cast<double>(excesses[i]);
    }
    for (std::size_t half = L::width / 2; half > 0; half /= 2) {
      for (std::size_t i = 0; i < half; ++i) totals[i] += totals[i + half];
    }
    return totals[0];
  }
};

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
