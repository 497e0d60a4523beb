// Functions that must keep their digits near 0, by series, and what is made of them. Also for long double, whose lanes
// are one number.
#pragma once

#include <type_traits>
#include <utility>

#include <distill/core/version.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/log.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// How many terms of a series the scalar type needs.
template <class T>
constexpr int series_terms(int for_float, int for_double, int for_long_double) {
  return std::is_same_v<T, float> ? for_float : std::is_same_v<T, double> ? for_double : for_long_double;
}

constexpr long double factorial(int n) {
  return n == 0 ? 1 : n * factorial(n - 1);
}
// variable templates, so that a series is made of constants in every build
template <class T, int n>
inline constexpr T exp_coefficient = static_cast<T>(1 / factorial(n + 2));
template <class T, int n>
inline constexpr T atanh_coefficient = static_cast<T>(1.0L / (2 * n + 3));

template <class L, int... n>
L exp_series(L x, std::integer_sequence<int, n...>) {
  using T = typename L::Scalar;
  constexpr int last = sizeof...(n);
  L sum(exp_coefficient<T, last>);
  ((sum = fma(sum, x, L(exp_coefficient<T, last - 1 - n>))), ...);
  return sum;
}
template <class L, int... n>
L log_excess_series(L z, std::integer_sequence<int, n...>) {
  using T = typename L::Scalar;
  constexpr int last = sizeof...(n);
  L sum(atanh_coefficient<T, last>);
  ((sum = fma(sum, z, L(atanh_coefficient<T, last - 1 - n>))), ...);
  return sum;
}

/// exp(x) - 1 - x for |x| <= 1/2, relatively exact
template <class L>
L exp_excess(L x) {
  constexpr int terms = series_terms<typename L::Scalar>(6, 13, 16);
  return x * x * exp_series(x, std::make_integer_sequence<int, terms>{});
}

/// x - log(1 + x) for |x| <= 1/4, relatively exact: with s = x / (2 + x), log(1 + x) = 2 (s + s^3/3 + s^5/5 + ...)
template <class L>
L log_excess(L x) {
  using T = typename L::Scalar;
  constexpr int terms = series_terms<T>(3, 8, 11);
  const L s = x / (x + L(T(2)));
  const L z = s * s;
  return s * (x - L(T(2)) * z * log_excess_series(z, std::make_integer_sequence<int, terms>{}));
}

/// log(1 + e^x)
template <class L>
L softplus(L x) {
  const L zero(typename L::Scalar(0));
  return select(zero < x, x, zero) + log1p(exp(zero - absolute(x)));
}

template <class L>
L tanh(L x) {
  using T = typename L::Scalar;
  const L two_x = x + x;
  const auto is_near = absolute(two_x) < L(T(0.5));
  const L m = select(is_near, exp_excess(two_x) + two_x, exp(two_x) - L(T(1)));  // e^2x - 1
  return select(two_x < L(T(80)), m / (m + L(T(2))), L(T(1)));
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
