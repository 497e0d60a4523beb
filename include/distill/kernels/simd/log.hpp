// Natural logarithm on lanes, and the scalar functions that finish a row: inlined, unlike those of libm, which cost
// more than a short row (and, after 512-bit code, a change of the processor's state).
//
//     x = 2^k m with m in [sqrt(1/2), sqrt(2)],  log x = k log 2 + 2 atanh(s),  s = (m - 1) / (m + 1)
//
// Error at most 2.1 ULP for normal x > 0. log(0) and log of a subnormal are -infinity, log(infinity) is infinity, NaN and
// negative numbers give NaN.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/simd/exp2.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// (atanh(s) / s - 1) / z of z = s^2: minimax polynomials of log's range, that of double in two halves, which do not wait
/// for each other. Error of s + s z series: 2^-30 and 2^-59 of s.
template <class T, class Arch>
[[gnu::always_inline]] inline Lanes<T, Arch> atanh_series(Lanes<T, Arch> z) {
  using L = Lanes<T, Arch>;
  const auto of = [](auto x, double a, double b, double c) { return fma(fma(L(T(c)), x, L(T(b))), x, L(T(a))); };
  if constexpr (std::is_same_v<T, float>) {
    return of(z, 0.33333388190232120, 0.19988770844404841, 0.14935862877650548);
  } else {
    const L z2 = z * z;
    const L odd = of(z2, 0.19999999999707336, 0.11111099286499690, 0.076570251356339470);
    const L even = of(z2, 0.14285714371194644, 0.090917821682181863, 0.073979763361992776);
    return fma(z, fma(z, even, odd), L(T(0.33333333333333672)));
  }
}

template <class T, class Arch>
[[gnu::always_inline]] inline Lanes<T, Arch> log(Lanes<T, Arch> x) {
  using L = Lanes<T, Arch>;
  constexpr bool is_float = std::is_same_v<T, float>;
  constexpr int mantissa_bits = FloatLayout<T>::mantissa_bits;
  constexpr bits_t<T> mantissa = (bits_t<T>{1} << mantissa_bits) - 1;

  L k = bits_shifted_right<mantissa_bits>(x) - L(T(FloatLayout<T>::bias));
  L m = bits_or(bits_and(x, mantissa), L(T(1)));
  const auto above = L(static_cast<T>(1.41421356237309504880)) < m;
  k = select(above, k + L(T(1)), k);
  m = select(above, m * L(T(0.5)), m);

  const L s = (m - L(T(1))) / (m + L(T(1)));
  const L z = s * s;
  const L series = atanh_series(z);
  const L atanh = fma(s * z, series, s);
  // log 2 in two parts, the first short enough for k times it to be exact
  constexpr T high = static_cast<T>(is_float ? 0x1.62e4p-1 : 0x1.62e42feep-1);
  constexpr T low = static_cast<T>(is_float ? 0x1.7f7d1cf79abcap-20 : 0x1.a39ef35793c76p-33);
  const L result = fma(k, L(high), fma(k, L(low), atanh + atanh));

  const L infinite(std::numeric_limits<T>::infinity());
  const L zero_or_negative =
      select(x < L(T(0)), L(std::numeric_limits<T>::quiet_NaN()), L(-std::numeric_limits<T>::infinity()));
  const L finite = select(x < L((std::numeric_limits<T>::min)()), zero_or_negative, result);
  return select(x < infinite, finite, x);
}

/// The type of reference formulas.
inline Lanes<long double, ScalarArch> log(Lanes<long double, ScalarArch> x) {
  return std::log(x.value);
}

/// e^x: 0 below the normal numbers, infinity above the largest
template <class T, class Arch>
Lanes<T, Arch> exp(Lanes<T, Arch> x) {
  using L = Lanes<T, Arch>;
  ExpScale<L> scale(log2_e);
  scale.set_offset(0);
  const L largest(static_cast<T>(ln_2 * (FloatLayout<T>::bias - 1)));
  // below the range, the exponent field may have wrapped around more than once; NaN propagates
  const L lowest(static_cast<T>(-2 * FloatLayout<T>::bias));
  const L in_range = select(x < lowest, lowest, x);
  return select(largest < x, L(std::numeric_limits<T>::infinity()), exp2(exponent(in_range, scale)));
}
inline Lanes<long double, ScalarArch> exp(Lanes<long double, ScalarArch> x) {
  return std::exp(x.value);
}

inline double scalar_log(double x) {
  return log(Lanes<double, ScalarArch>(x)).value;
}

/// log(1 + x) for x >= 0, with the digits that 1 + x loses
template <class T, class Arch>
[[gnu::always_inline]] inline Lanes<T, Arch> log1p(Lanes<T, Arch> x) {
  using L = Lanes<T, Arch>;
  const L u = L(T(1)) + x, rest = u - L(T(1));
  return select(rest <= L(T(0)), x, log(u) * (x / rest));
}
inline double scalar_log1p(double x) {
  return log1p(Lanes<double, ScalarArch>(x)).value;
}

/// 2^x, 0 below the normal numbers, +infinity above 1023
inline double scalar_exp2(double x) {
  using L = Lanes<double, ScalarArch>;
  if (!(x < 1023)) return x != x ? x : std::numeric_limits<double>::infinity();
  ExpScale<L> scale(1);
  scale.set_offset(0);
  return exp2(exponent(L(x), scale)).value;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
