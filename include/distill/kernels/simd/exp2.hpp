// 2^(x*c - offset) on lanes, with the rounding error of x*c carried along and the offset taken off the exponent.
//
// The exponential of a softmax is exp((x - max) / T). Written with c = log2(e) / T that is 2^(x*c - max*c), and the
// difference is where accuracy is lost. Here the integer nearest to x*c is found by adding a constant so large that
// the sum has no room for a fraction; the integer `offset` is part of that constant, so subtracting it costs nothing
// and rounds nothing. The fraction that is left is computed with the product's own rounding error:
//
//     shifted  = x*c + (1.5 * 2^23 + bias - offset)       its low bits are the exponent field of 2^(whole - offset)
//     whole    = shifted - (1.5 * 2^23 + bias - offset)
//     fraction = (x*c - whole) exactly, + x*c's remainder  |fraction| <= 0.5 and a little
//     2^fraction by a polynomial, times 2^(whole - offset) made of the low bits
//
// Error: at most 1 ULP (float: degree 6; double: degree 11; measured in the tests), for |x*c| and
// |offset| up to max_offset and results of at least 2^-126 (double: 2^-1022); below that the result is 0.
// exp2(-infinity) is 0, NaN gives NaN. Where x*c - offset is above the largest exponent the result is meaningless.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

template <class T>
struct FloatLayout;
template <>
struct FloatLayout<float> {
  static constexpr int mantissa_bits = 23;
  static constexpr int bias = 127;
  static constexpr std::int32_t high_half = ~std::int32_t{0xFFF};  // keeps 12 digits of the mantissa
  static constexpr double max_offset = 1 << 20;
  static constexpr double max_offset_without_fma = 1 << 12;
};
template <>
struct FloatLayout<double> {
  static constexpr int mantissa_bits = 52;
  static constexpr int bias = 1023;
  static constexpr std::int64_t high_half = ~std::int64_t{0x7FFFFFF};  // keeps 26 digits
  static constexpr double max_offset = 281474976710656.0;              // 2^48
  static constexpr double max_offset_without_fma = 1 << 25;
};

/// So large that a number of T that it is added to keeps no fraction
template <class T>
inline constexpr double no_fraction = 1.5 * static_cast<double>(std::int64_t{1} << FloatLayout<T>::mantissa_bits);

/// Bounds on |x*c| and |offset|: 2^20 (double: 2^48) with FMA, 2^12 (2^25) without.
template <class L>
inline constexpr double max_offset =
    has_fma<typename L::Arch> ? FloatLayout<typename L::Scalar>::max_offset
                              : FloatLayout<typename L::Scalar>::max_offset_without_fma;

inline constexpr double log2_e = 1.44269504088896340736;
inline constexpr double ln_2 = 0.693147180559945309417;

/// x * 2^-powers for an integer powers > -1023; 0 where that is below the normal numbers' range
inline double lowered(double x, double powers) {
  if (powers > 1022) return 0;
  return x * detail::bit_cast<double>(static_cast<std::int64_t>(1023 - static_cast<int>(powers)) << 52);
}

/// The constants of one scale c and offset, for all rows that share them.
template <class L>
struct ExpScale {
  using T = typename L::Scalar;
  using Layout = FloatLayout<T>;

  T c;       // c, rounded to T
  T c_high;  // the part of c whose product with a number is known exactly
  T c_low;   // the rest
  T anchor = 0;

  explicit ExpScale(double scale) : c(static_cast<T>(scale)) {
    c_high = has_fma<typename L::Arch> ? c : bits_and(Lanes<T, ScalarArch>(c), Layout::high_half).value;
    c_low = static_cast<T>(scale - static_cast<double>(c_high));
  }

  /// `offset` is an integer of magnitude at most max_offset<L>.
  void set_offset(double offset) { anchor = static_cast<T>(no_fraction<T> + Layout::bias - offset); }
};

/// x*c = whole + fraction, to about twice the precision of T.
template <class L>
struct Exponent {
  L shifted;
  L whole;
  L fraction;
};

/// With an anchor, and so an offset, per lane.
template <class L>
[[gnu::always_inline]] inline Exponent<L> exponent(L x, const ExpScale<L>& scale, L anchor) {
  Exponent<L> e;
  e.shifted = fma(x, L(scale.c), anchor);
  e.whole = e.shifted - anchor;
  if constexpr (has_fma<typename L::Arch>) {
    e.fraction = fma(x, L(scale.c_low), fms(x, L(scale.c), e.whole));
  } else {
    const L x_high = bits_and(x, FloatLayout<typename L::Scalar>::high_half);
    const L x_low = x - x_high;
    e.fraction = (x_high * L(scale.c_high) - e.whole) + (x_low * L(scale.c_high) + x * L(scale.c_low));
  }
  return e;
}
template <class L>
[[gnu::always_inline]] inline Exponent<L> exponent(L x, const ExpScale<L>& scale) {
  return exponent(x, scale, L(scale.anchor));
}

/// x*c - offset in double, without the rounding error of x*c
inline double exact_exponent(double x, double c, double offset) {
  return std::fma(x, c, -offset);
}

/// 2^fraction for |fraction| <= 0.51; the coefficients minimise the largest relative error.
template <class L>
[[gnu::always_inline]] inline L exp2_fraction(L f) {
  using T = typename L::Scalar;
  const auto polynomial = [f](double leading, auto... descending) {
    L sum(static_cast<T>(leading));
    ((sum = fma(sum, f, L(static_cast<T>(descending)))), ...);
    return sum;
  };
  if constexpr (std::is_same_v<T, double>) {
    return polynomial(4.434854181674026e-10, 7.074878004432625e-09, 1.0178207340271744e-07, 1.3215428685334493e-06,
                      1.5252733450198991e-05, 0.00015403530471183078, 0.001333355814685208, 0.009618129107581495,
                      0.05550410866481956, 0.24022650695910175, 0.6931471805599453, 1.0);
  } else {
    return polynomial(0.00015343504650850023, 0.0013402597558550935, 0.0096185184749904, 0.05550322068326058,
                      0.24022646412850446, 0.6931472088732923, 1.0);
  }
}

/// Up to here the exponent field in the low bits of `shifted` is 0 or has wrapped around.
template <class L>
inline constexpr auto lowest_shifted = static_cast<typename L::Scalar>(no_fraction<typename L::Scalar>);

/// Whether 2^(x*c - offset) is 0; false for NaN, which propagates.
template <class L>
[[gnu::always_inline]] inline auto is_zero(const Exponent<L>& e) {
  return e.shifted <= L(lowest_shifted<L>);
}

/// 2^(x*c - offset), from the exponent's parts.
template <class L>
[[gnu::always_inline]] inline L exp2(const Exponent<L>& e) {
  constexpr int mantissa_bits = FloatLayout<typename L::Scalar>::mantissa_bits;
  return zero_where(is_zero(e), exp2_fraction(e.fraction) * shift_bits_left<mantissa_bits>(e.shifted));
}

/// The same in fewer operations for finite numbers; infinities give NaN, and so may numbers beyond 1e14.
template <class L>
struct FiniteExp2 {
  using T = typename L::Scalar;
  L fields{lowest_shifted<L>};  // those of all exponents, or-ed

  [[gnu::always_inline]] L operator()(const Exponent<L>& e) {
    const L field = larger(e.shifted, L(lowest_shifted<L>));
    fields = bits_or(fields, field);
    return exp2_fraction(e.fraction) * shift_bits_left<FloatLayout<T>::mantissa_bits>(field);
  }

  /// False if one was beyond the largest exponent: then the results are meaningless.
  bool were_in_range() const {
    return all_lanes(fields <= L(lowest_shifted<L> + static_cast<T>(2 * FloatLayout<T>::bias + 1)));
  }
};

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
