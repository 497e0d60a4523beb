// Numbers in two parts, high and low: factors that must not round a whole row in one direction.
#pragma once

#include <distill/core/version.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// A number to more than the precision of T.
template <class L>
struct TwoParts {
  L high, low;

  TwoParts(L high_part, L low_part) : high(high_part), low(low_part) {}
  explicit TwoParts(double x)
      : high(static_cast<typename L::Scalar>(x)),
        low(static_cast<typename L::Scalar>(x - static_cast<double>(static_cast<typename L::Scalar>(x)))) {}
};

/// A factor in two parts: rounding it would shift the whole row in one direction.
template <class L>
struct Normaliser : TwoParts<L> {
  using TwoParts<L>::TwoParts;
  L operator()(L x) const { return fma(x, this->high, x * this->low); }
};

/// a(x) - b(y) with as few roundings as possible, and exactly 0 where the two are the same
template <class L>
L scaled_difference(L x, const Normaliser<L>& a, L y, const Normaliser<L>& b) {
  return difference_of_products(x, a.high, y, b.high) + difference_of_products(x, a.low, y, b.low);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
