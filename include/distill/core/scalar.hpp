// The scalar types of tensors. Computation is in float or double; half and bfloat16 are for storage only.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// IEEE binary16, as its bits.
struct half {
  std::uint16_t bits = 0;
};

/// The upper half of a float, as its bits.
struct bfloat16 {
  std::uint16_t bits = 0;
};

/// The layout of a stored number.
enum class Format { unsupported, float32, float64, float16, brain16 };

namespace detail {

// Any two-byte class type with numeric_limits is recognised by its number of mantissa digits (with the hidden bit):
// Eigen::half, c10::Half and std::float16_t have 11; Eigen::bfloat16, c10::BFloat16 and std::bfloat16_t have 8.
template <class T>
constexpr Format find_format() {
  if constexpr (std::is_same_v<T, float>) {
    return Format::float32;
  } else if constexpr (std::is_same_v<T, double>) {
    return Format::float64;
  } else if constexpr (std::is_same_v<T, half>) {
    return Format::float16;
  } else if constexpr (std::is_same_v<T, bfloat16>) {
    return Format::brain16;
#if defined(__FLT16_MANT_DIG__) && (defined(__clang__) || __GNUC__ > 12 || !defined(__ARM_FP16_FORMAT_IEEE))
  } else if constexpr (std::is_same_v<T, _Float16>) {  // numeric_limits does not know it before gcc 13
    return Format::float16;
#endif
#if defined(__ARM_FP16_FORMAT_IEEE)
  } else if constexpr (std::is_same_v<T, __fp16>) {
    return Format::float16;
#endif
  } else if constexpr (sizeof(T) == 2 && !std::is_integral_v<T> && std::numeric_limits<T>::is_specialized) {
    return std::numeric_limits<T>::digits == 11  ? Format::float16
           : std::numeric_limits<T>::digits == 8 ? Format::brain16
                                                 : Format::unsupported;
  } else {
    return Format::unsupported;
  }
}

}  // namespace detail

/// The format of T. Specialise this for a two-byte type that is not recognised.
template <class T>
struct StorageFormat {
  static constexpr Format value = detail::find_format<T>();
};

namespace detail {

template <class T>
inline constexpr Format format_of = StorageFormat<std::remove_cv_t<T>>::value;

/// The type in which numbers of these storage types are computed: double if any is double, else float.
template <class... T>
using compute_t = std::conditional_t<((format_of<T> == Format::float64) || ...), double, float>;

template <class To, class From>
To bit_cast(const From& from) noexcept {
  static_assert(sizeof(To) == sizeof(From), "bit_cast needs types of one size");
  To to;
  std::memcpy(static_cast<void*>(&to), static_cast<const void*>(&from), sizeof(To));
  return to;
}

inline float bfloat16_to_float(std::uint16_t bits) noexcept {
  return bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// Rounds to nearest, ties to even; NaN stays a quiet NaN.
inline std::uint16_t float_to_bfloat16(float x) noexcept {
  const auto bits = bit_cast<std::uint32_t>(x);
  if (x != x) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

inline float half_to_float(std::uint16_t bits) noexcept {
  const std::uint32_t sign = (bits & 0x8000u) << 16;
  const std::uint32_t magnitude = (bits & 0x7FFFu) << 13;
  float value;
  if (magnitude >= 0x0F800000u) {  // infinity and NaN: the largest exponent stays the largest
    value = bit_cast<float>(magnitude | 0x7F800000u);
  } else {  // the exponents' biases differ by 112; the product is exact, for subnormal halves as well
    value = bit_cast<float>(magnitude) * bit_cast<float>(std::uint32_t{(127 + 112) << 23});
  }
  return bit_cast<float>(bit_cast<std::uint32_t>(value) | sign);
}

/// Rounds to nearest, ties to even; overflow gives infinity, NaN stays a quiet NaN.
inline std::uint16_t float_to_half(float x) noexcept {
  const auto bits = bit_cast<std::uint32_t>(x);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  std::uint32_t result;
  if (magnitude > 0x7F800000u) {
    result = 0x7E00u;
  } else if (magnitude >= 0x477FF000u) {  // from 65520 on the nearest half is infinity
    result = 0x7C00u;
  } else if (magnitude < 0x38800000u) {  // below 2^-14: adding 0.5 puts the last place of a subnormal half at bit 0
    result = bit_cast<std::uint32_t>(bit_cast<float>(magnitude) + 0.5f) - 0x3F000000u;
  } else {
    result = (magnitude - 0x38000000u + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
  }
  return static_cast<std::uint16_t>(sign | result);
}

/// One stored number as the type it is computed in.
template <class Compute, class T>
Compute load_scalar(const T* p) noexcept {
  constexpr Format format = format_of<T>;
  if constexpr (format == Format::float16) {
    return static_cast<Compute>(half_to_float(bit_cast<std::uint16_t>(*p)));
  } else if constexpr (format == Format::brain16) {
    return static_cast<Compute>(bfloat16_to_float(bit_cast<std::uint16_t>(*p)));
  } else {
    return static_cast<Compute>(*p);
  }
}

/// Rounds once to the stored type.
template <class T, class Compute>
void store_scalar(T* p, Compute value) noexcept {
  constexpr Format format = format_of<T>;
  if constexpr (format == Format::float16) {
    *p = bit_cast<T>(float_to_half(static_cast<float>(value)));
  } else if constexpr (format == Format::brain16) {
    *p = bit_cast<T>(float_to_bfloat16(static_cast<float>(value)));
  } else {
    *p = static_cast<T>(value);
  }
}

}  // namespace detail
}  // namespace DISTILL_ABI
}  // namespace distill
