// Sums of squares: whether they overflowed or underflowed in the lanes, and what redoes them.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// The type in which sums are redone: it can represent the square of every number in L's lanes.
template <class L>
using Wide = Lanes<std::conditional_t<std::is_same_v<typename L::Scalar, float>, double, long double>, ScalarArch>;

/// The smallest sum of squares that underflow has not changed.
template <class L>
inline constexpr total_t<L> least_safe_sum = static_cast<total_t<L>>((std::numeric_limits<typename L::Scalar>::min)()) *
                                             static_cast<total_t<L>>(1e13);

/// Whether a sum of squares (or of such terms) neither overflowed nor underflowed.
template <class L>
bool is_safe_sum(total_t<L> sum) {
  using T = typename L::Scalar;
  return sum >= least_safe_sum<L> && sum <= static_cast<total_t<L>>((std::numeric_limits<T>::max)());
}

/// A sum in double, NaN if it is not finite. One beyond double is infinite, and raises nothing.
template <class Total>
double finite_sum(Total total) {
  const AllExceptionsHeld held;
  return std::isfinite(total) ? static_cast<double>(total) : std::numeric_limits<double>::quiet_NaN();
}
inline double finite_sum(double total) {
  return std::isfinite(total) ? total : std::numeric_limits<double>::quiet_NaN();
}

/// A number of a row that is not finite makes the row's loss and gradient NaN.
template <class Stored>
double poisoned_row(Stored* grad, std::size_t n) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t j = 0; grad && j < n; ++j) detail::store_scalar(grad + j, nan);
  return nan;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
