// The only place that names xsimd: W numbers at a time, for xsimd 8.1 to 14.3, or one at a time without SIMD.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>

// gcc 12 takes the deliberately undefined operands of its own AVX-512 intrinsics for mistakes (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

// This is the only error, as the rest compiles without xsimd.
#if !defined(DISTILL_NO_SIMD)
#if !__has_include(<xsimd/xsimd.hpp>)
#error \
    "distill: xsimd is not on the include path. Install it (Debian: libxsimd-dev), add -I for its include folder, or \
define DISTILL_NO_SIMD to do without"
#define DISTILL_NO_SIMD
#else
#include <xsimd/xsimd.hpp>
#if XSIMD_VERSION_MAJOR < 8 || (XSIMD_VERSION_MAJOR == 8 && XSIMD_VERSION_MINOR < 1)
#error "distill: this xsimd is too old. Put 8.1 or later first on the include path"
#define DISTILL_NO_SIMD
#elif defined(XSIMD_NO_SUPPORTED_ARCHITECTURE)
#define DISTILL_NO_SIMD
#endif
#endif
#endif
#if !defined(DISTILL_NO_SIMD) && defined(__AVX__)
#include <immintrin.h>
#endif

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

template <class T>
inline constexpr T infinity = std::numeric_limits<T>::infinity();

/// The architecture of plain scalar code; everything that runs on lanes runs on it too.
struct ScalarArch {};

#if defined(DISTILL_NO_SIMD)
using DefaultArch = ScalarArch;
#else
using DefaultArch = xsimd::default_arch;
#endif

template <class T>
using bits_t = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;

/// Whether fma() is known to round once.
#if defined(DISTILL_NO_SIMD)
template <class Arch>
inline constexpr bool has_fma = false;
#else
template <class Arch>
inline constexpr bool has_fma =
    std::is_base_of_v<xsimd::avx512f, Arch> || std::is_base_of_v<xsimd::fma3<xsimd::avx2>, Arch> ||
    std::is_base_of_v<xsimd::fma3<xsimd::avx>, Arch> || std::is_base_of_v<xsimd::neon64, Arch>;
#endif

// ---------------------------------------------------------------------------------------------------- one at a time

/// `width` numbers of type T. Comparisons give a Mask; select(), any_lane() and the arithmetic are free functions.
template <class T, class Arch>
struct Lanes;

template <class T>
struct Lanes<T, ScalarArch> {
  using Scalar = T;
  using Arch = ScalarArch;
  using Mask = bool;
  static constexpr std::size_t width = 1;
  T value;

  Lanes() = default;
  Lanes(T x) : value(x) {}

  friend Lanes operator+(Lanes a, Lanes b) { return a.value + b.value; }
  friend Lanes operator-(Lanes a, Lanes b) { return a.value - b.value; }
  friend Lanes operator*(Lanes a, Lanes b) { return a.value * b.value; }
  friend Lanes operator/(Lanes a, Lanes b) { return a.value / b.value; }
  friend Mask operator<=(Lanes a, Lanes b) { return a.value <= b.value; }
  friend Mask operator<(Lanes a, Lanes b) { return a.value < b.value; }
};

/// Whether the machine multiplies and adds single numbers in one operation. x86 and ARM have a macro for that, others
/// (POWER, s390, RISC-V) what C has for it.
template <class T>
inline constexpr bool is_fast_fma = false;
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMAF)
template <>
inline constexpr bool is_fast_fma<float> = true;
#endif
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMA)
template <>
inline constexpr bool is_fast_fma<double> = true;
#endif

/// a * b + c, rounded once where the machine can: else it would be up to the compiler how often.
template <class T>
Lanes<T, ScalarArch> fma(Lanes<T, ScalarArch> a, Lanes<T, ScalarArch> b, Lanes<T, ScalarArch> c) {
  if constexpr (is_fast_fma<T>) {
    return std::fma(a.value, b.value, c.value);
  } else {
    return a.value * b.value + c.value;
  }
}
/// a * b - c
template <class T>
Lanes<T, ScalarArch> fms(Lanes<T, ScalarArch> a, Lanes<T, ScalarArch> b, Lanes<T, ScalarArch> c) {
  return fma(a, b, Lanes<T, ScalarArch>(-c.value));
}
/// The larger of the two; which one it is where either is NaN is not defined.
template <class T>
Lanes<T, ScalarArch> larger(Lanes<T, ScalarArch> a, Lanes<T, ScalarArch> b) {
  return a.value < b.value ? b : a;
}
template <class T>
Lanes<T, ScalarArch> select(bool mask, Lanes<T, ScalarArch> yes, Lanes<T, ScalarArch> no) {
  return mask ? yes : no;
}
inline bool any_lane(bool mask) {
  return mask;
}
inline bool all_lanes(bool mask) {
  return mask;
}
/// x, but 0 where the mask is set
template <class T>
Lanes<T, ScalarArch> zero_where(bool mask, Lanes<T, ScalarArch> x) {
  return mask ? T(0) : x.value;
}
template <class T>
Lanes<T, ScalarArch> square_root(Lanes<T, ScalarArch> x) {
  return std::sqrt(x.value);
}
template <class T>
T reduce_add(Lanes<T, ScalarArch> x) {
  return x.value;
}
/// The bits of x, shifted left as an integer.
template <int count, class T>
Lanes<T, ScalarArch> shift_bits_left(Lanes<T, ScalarArch> x) {
  using Unsigned = std::make_unsigned_t<bits_t<T>>;
  return detail::bit_cast<T>(static_cast<Unsigned>(detail::bit_cast<Unsigned>(x.value) << count));
}
/// The bits of x >= 0, as an integer, shifted right and turned into a number.
template <int count, class T>
Lanes<T, ScalarArch> bits_shifted_right(Lanes<T, ScalarArch> x) {
  return static_cast<T>(detail::bit_cast<bits_t<T>>(x.value) >> count);
}
template <class T>
Lanes<T, ScalarArch> bits_and(Lanes<T, ScalarArch> x, bits_t<T> mask) {
  return detail::bit_cast<T>(static_cast<bits_t<T>>(detail::bit_cast<bits_t<T>>(x.value) & mask));
}
template <class T>
Lanes<T, ScalarArch> bits_or(Lanes<T, ScalarArch> a, Lanes<T, ScalarArch> b) {
  return detail::bit_cast<T>(
      static_cast<bits_t<T>>(detail::bit_cast<bits_t<T>>(a.value) | detail::bit_cast<bits_t<T>>(b.value)));
}

// -------------------------------------------------------------------------------------------------------- by xsimd

#if !defined(DISTILL_NO_SIMD)

namespace shim {
template <class T, class Arch>
xsimd::batch<T, Arch> divide(xsimd::batch<T, Arch> a, xsimd::batch<T, Arch> b) {
#if defined(__aarch64__)  // xsimd approximates quotients and square roots of floats there
  if constexpr (std::is_base_of_v<xsimd::neon64, Arch> && sizeof(T) == 4) {
    return vdivq_f32(a, b);
  } else
#endif
  {
    return a / b;
  }
}
template <class T, class Arch>
xsimd::batch<T, Arch> square_root(xsimd::batch<T, Arch> x) {
#if defined(__aarch64__)
  if constexpr (std::is_base_of_v<xsimd::neon64, Arch> && sizeof(T) == 4) {
    return vsqrtq_f32(x);
  } else
#endif
  {
    return xsimd::sqrt(x);
  }
}
}  // namespace shim

template <class T, class A>
struct Lanes {
  using Scalar = T;
  using Arch = A;
  using Batch = xsimd::batch<T, A>;
  using Mask = xsimd::batch_bool<T, A>;
  static constexpr std::size_t width = Batch::size;
  Batch value;

  Lanes() = default;
  Lanes(Batch x) : value(x) {}
  Lanes(T x) : value(x) {}

  friend Lanes operator+(Lanes a, Lanes b) { return a.value + b.value; }
  friend Lanes operator-(Lanes a, Lanes b) { return a.value - b.value; }
  friend Lanes operator*(Lanes a, Lanes b) { return a.value * b.value; }
  friend Lanes operator/(Lanes a, Lanes b) { return shim::divide(a.value, b.value); }
  friend Mask operator<=(Lanes a, Lanes b) { return a.value <= b.value; }
  friend Mask operator<(Lanes a, Lanes b) { return a.value < b.value; }
};

template <class T, class Arch>
Lanes<T, Arch> fma(Lanes<T, Arch> a, Lanes<T, Arch> b, Lanes<T, Arch> c) {
#if defined(__AVX512F__)  // xsimd 8.1 multiplies and adds there, rounding twice
  if constexpr (sizeof(Lanes<T, Arch>) == 64 && sizeof(T) == 4) {
    return xsimd::batch<T, Arch>(_mm512_fmadd_ps(a.value, b.value, c.value));
  } else if constexpr (sizeof(Lanes<T, Arch>) == 64) {
    return xsimd::batch<T, Arch>(_mm512_fmadd_pd(a.value, b.value, c.value));
  } else
#endif
  {
    return xsimd::fma(a.value, b.value, c.value);
  }
}
template <class T, class Arch>
Lanes<T, Arch> fms(Lanes<T, Arch> a, Lanes<T, Arch> b, Lanes<T, Arch> c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(Lanes<T, Arch>) == 64 && sizeof(T) == 4) {
    return xsimd::batch<T, Arch>(_mm512_fmsub_ps(a.value, b.value, c.value));
  } else if constexpr (sizeof(Lanes<T, Arch>) == 64) {
    return xsimd::batch<T, Arch>(_mm512_fmsub_pd(a.value, b.value, c.value));
  } else
#endif
  {
    return xsimd::fms(a.value, b.value, c.value);
  }
}
template <class T, class Arch>
Lanes<T, Arch> larger(Lanes<T, Arch> a, Lanes<T, Arch> b) {
  return (xsimd::max)(a.value, b.value);
}
template <class T, class Arch>
Lanes<T, Arch> select(xsimd::batch_bool<T, Arch> mask, Lanes<T, Arch> yes, Lanes<T, Arch> no) {
  return xsimd::select(mask, yes.value, no.value);
}
template <class T, class Arch>
bool any_lane(xsimd::batch_bool<T, Arch> mask) {
  return xsimd::any(mask);
}
template <class T, class Arch>
bool all_lanes(xsimd::batch_bool<T, Arch> mask) {
  return xsimd::all(mask);
}
template <class T, class Arch>
Lanes<T, Arch> zero_where(xsimd::batch_bool<T, Arch> mask, Lanes<T, Arch> x) {
#if defined(__AVX__) && !defined(__AVX512F__)  // one operation, where compilers make three of select
  if constexpr (sizeof(Lanes<T, Arch>) == 32 && sizeof(T) == 4) {
    return xsimd::batch<T, Arch>(_mm256_andnot_ps(mask, x.value));
  } else if constexpr (sizeof(Lanes<T, Arch>) == 32) {
    return xsimd::batch<T, Arch>(_mm256_andnot_pd(mask, x.value));
  } else
#endif
  {
    return xsimd::select(mask, xsimd::batch<T, Arch>(T(0)), x.value);
  }
}
template <class T, class Arch>
Lanes<T, Arch> square_root(Lanes<T, Arch> x) {
  return shim::square_root(x.value);
}
template <class T, class Arch>
T reduce_add(Lanes<T, Arch> x) {
#if XSIMD_VERSION_MAJOR >= 9
  return xsimd::reduce_add(x.value);
#else
  return xsimd::hadd(x.value);
#endif
}

namespace shim {
template <class To, class From, class Arch>
xsimd::batch<To, Arch> reinterpret(xsimd::batch<From, Arch> x) {
#if XSIMD_VERSION_MAJOR >= 9
  return xsimd::bitwise_cast<To>(x);
#else
  return xsimd::bitwise_cast<xsimd::batch<To, Arch>>(x);
#endif
}
}  // namespace shim

template <int count, class T, class Arch>
Lanes<T, Arch> shift_bits_left(Lanes<T, Arch> x) {
  return shim::reinterpret<T>(shim::reinterpret<bits_t<T>>(x.value) << count);
}
template <int count, class T, class Arch>
Lanes<T, Arch> bits_shifted_right(Lanes<T, Arch> x) {
  if constexpr (sizeof(T) == 8 && count >= 12) {
    // no instruction set before AVX-512 converts these; as the last digits of 2^52 they are a number
    const auto bits = shim::reinterpret<std::uint64_t>(x.value) >> count;
    const T base(0x1p52);
    return shim::reinterpret<T>(bits | shim::reinterpret<std::uint64_t>(xsimd::batch<T, Arch>(base))) -
           xsimd::batch<T, Arch>(base);
  } else {
    return xsimd::to_float(shim::reinterpret<bits_t<T>>(x.value) >> count);
  }
}
template <class T, class Arch>
Lanes<T, Arch> bits_and(Lanes<T, Arch> x, bits_t<T> mask) {
  return shim::reinterpret<T>(shim::reinterpret<bits_t<T>>(x.value) & xsimd::batch<bits_t<T>, Arch>(mask));
}
template <class T, class Arch>
Lanes<T, Arch> bits_or(Lanes<T, Arch> a, Lanes<T, Arch> b) {
  return a.value | b.value;
}

#endif

// ------------------------------------------------------------------------------------------------------ for any lanes

namespace shim {

// What turns rows into columns in the registers: lanes of 16 bytes, and eight floats of AVX.
#if defined(DISTILL_NO_SIMD)
template <class L>
inline constexpr bool transposes_natively = false;
template <class L>
void transpose(L (&)[L::width]) = delete;
#else
template <class L>
inline constexpr bool is_avx_float =
#if defined(__AVX__)
    !std::is_same_v<typename L::Arch, ScalarArch> && sizeof(L) == 32 && sizeof(typename L::Scalar) == 4;
#else
    false;
#endif
template <class L>
inline constexpr bool transposes_natively = is_avx_float<L> ||
                                            (!std::is_same_v<typename L::Arch, ScalarArch> && sizeof(L) == 16);

template <class L>
[[gnu::always_inline]] inline void transpose(L (&v)[L::width]) {
  constexpr std::size_t half = L::width / 2;
#if defined(__AVX__)
  if constexpr (is_avx_float<L>) {
    __m256 pairs[8], quads[8];
    for (std::size_t i = 0; i < 8; i += 2) {
      pairs[i] = _mm256_unpacklo_ps(v[i].value, v[i + 1].value);
      pairs[i + 1] = _mm256_unpackhi_ps(v[i].value, v[i + 1].value);
    }
    for (std::size_t i = 0; i < 8; i += 4) {
      quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
      quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xEE);
      quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
      quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xEE);
    }
    for (std::size_t i = 0; i < half; ++i) {
      v[i] = typename L::Batch(_mm256_permute2f128_ps(quads[i], quads[i + half], 0x20));
      v[i + half] = typename L::Batch(_mm256_permute2f128_ps(quads[i], quads[i + half], 0x31));
    }
  } else
#endif
  {
    for (std::size_t step = 1; step < L::width; step *= 2) {  // each interleaves the first half with the second
      L next[L::width];
      for (std::size_t i = 0; i < half; ++i) {
        next[2 * i] = xsimd::zip_lo(v[i].value, v[i + half].value);
        next[2 * i + 1] = xsimd::zip_hi(v[i].value, v[i + half].value);
      }
      for (std::size_t i = 0; i < L::width; ++i) v[i] = next[i];
    }
  }
}
#endif

}  // namespace shim

/// a * b - c * d, and exactly 0 where the two products are the same. Written as it stands, a compiler may take one of
/// them unrounded (-ffp-contract=fast, gcc's default), and the other's rounding error is left.
template <class L>
[[gnu::always_inline]] inline L difference_of_products(L a, L b, L c, L d) {
  const L product = a * b;
  return fms(a, b, product) - fms(c, d, product);
}
inline double difference_of_products(double a, double b, double c, double d) {
  using One = Lanes<double, ScalarArch>;
  return difference_of_products(One(a), One(b), One(c), One(d)).value;
}

template <class L>
L absolute(L x) {
  const L zero(typename L::Scalar(0));
  return select(x < zero, zero - x, x);
}
/// x, or NaN where a or b is NaN or infinite.
template <class L>
L nan_unless_finite(L a, L b, L x) {
  const L zero(typename L::Scalar(0));
  return fma(a, zero, fma(b, zero, x));
}
/// -1, 0 or 1; 0 for NaN
template <class L>
L sign(L x) {
  using T = typename L::Scalar;
  const L zero(T(0));
  return select(x < zero, L(T(-1)), select(zero < x, L(T(1)), zero));
}

/// `value` for every lane but the labelled one, if that is among the lanes from element i on.
template <class T, class Arch>
Lanes<T, Arch> with_label(Lanes<T, Arch> value, std::size_t i, std::size_t label, double at_label) {
  return label - i < Lanes<T, Arch>::width ? with_lane(value, label - i, static_cast<T>(at_label)) : value;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
