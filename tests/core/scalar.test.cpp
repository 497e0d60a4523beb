#include <doctest/doctest.h>

#include <Eigen/Core>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <distill/core/scalar.hpp>
#include <limits>
#include <vector>

namespace {

using distill::Format;

/// The value of a pattern with `exponent_bits` and `mantissa_bits`, by the definition of the format.
double decode(std::uint16_t bits, int exponent_bits, int mantissa_bits) {
  const int sign = bits >> 15;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  double value;
  if (exponent == (1 << exponent_bits) - 1) {
    value = mantissa == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(mantissa, 1 - bias - mantissa_bits);
  } else {
    value = std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
  }
  return sign ? -value : value;
}

/// The nearest pattern to x, ties to even, found among the two neighbours by bisection over the magnitudes.
std::uint16_t encode(float x, int exponent_bits, int mantissa_bits) {
  const std::uint16_t infinity = static_cast<std::uint16_t>(((1 << exponent_bits) - 1) << mantissa_bits);
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const double magnitude = std::abs(static_cast<double>(x));
  std::uint16_t low = 0, high = infinity;  // decode(low) <= magnitude
  while (high - low > 1) {
    const auto middle = static_cast<std::uint16_t>((low + high) / 2);
    (decode(middle, exponent_bits, mantissa_bits) <= magnitude ? low : high) = middle;
  }
  if (std::isinf(x)) return static_cast<std::uint16_t>(sign | infinity);
  const double below = decode(low, exponent_bits, mantissa_bits);
  // the step above the largest finite number is as wide as the one below it
  const double above = high == infinity
                           ? below + (below - decode(static_cast<std::uint16_t>(low - 1), exponent_bits, mantissa_bits))
                           : decode(high, exponent_bits, mantissa_bits);
  const double to_low = magnitude - below, to_high = above - magnitude;
  const bool up = to_high < to_low || (to_high == to_low && (low & 1) != 0);
  return static_cast<std::uint16_t>(sign | (up ? high : low));
}

std::vector<float> hard_to_round() {
  std::vector<float> numbers;
  for (std::uint32_t top = 0; top < 0x10000; top += 7) {
    for (const std::uint32_t rest :
         {0x0000u, 0x0001u, 0x0FFFu, 0x1000u, 0x1001u, 0x2000u, 0x3000u, 0x7FFFu, 0x8000u, 0x8001u, 0x9000u, 0xFFFFu}) {
      const std::uint32_t bits = top << 16 | rest;
      float x;
      std::memcpy(&x, &bits, 4);
      if (!std::isnan(x)) numbers.push_back(x);
    }
  }
  for (const float x : {65504.0f, 65519.996f, 65520.0f, 65536.0f, 0x1p-24f, 0x1p-25f, 0x1.000002p-25f, 0x1.8p-24f,
                        0x1p-14f, 0x1.ffcp-15f, 0x1.ffep-15f, 0.0f, -0.0f, 3.4028235e38f, -3.3961775e38f,
                        std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    numbers.push_back(x);
  }
  return numbers;
}

template <class T>
constexpr Format format = distill::StorageFormat<T>::value;

struct Unknown {
  float value;
};

struct Foreign {  // a two-byte type that is not recognised by itself
  std::uint16_t bits;
};

}  // namespace

template <>
struct distill::StorageFormat<Foreign> {
  static constexpr distill::Format value = distill::Format::brain16;
};

TEST_CASE("half to float: all patterns") {
  std::size_t wrong = 0;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const double expected = decode(static_cast<std::uint16_t>(bits), 5, 10);
    const float actual = distill::detail::half_to_float(static_cast<std::uint16_t>(bits));
    const bool same = std::isnan(expected)
                          ? std::isnan(actual)
                          : static_cast<double>(actual) == expected && std::signbit(actual) == std::signbit(expected);
    wrong += same ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("bfloat16 to float: all patterns") {
  std::size_t wrong = 0;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const double expected = decode(static_cast<std::uint16_t>(bits), 8, 7);
    const float actual = distill::detail::bfloat16_to_float(static_cast<std::uint16_t>(bits));
    const bool same = std::isnan(expected)
                          ? std::isnan(actual)
                          : static_cast<double>(actual) == expected && std::signbit(actual) == std::signbit(expected);
    wrong += same ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("there and back: all patterns") {
  std::size_t wrong = 0;
  for (std::uint32_t k = 0; k < 0x10000; ++k) {
    const auto bits = static_cast<std::uint16_t>(k);
    const float h = distill::detail::half_to_float(bits), b = distill::detail::bfloat16_to_float(bits);
    if (std::isnan(h)) {
      wrong += std::isnan(distill::detail::half_to_float(distill::detail::float_to_half(h))) ? 0 : 1;
    } else {
      wrong += distill::detail::float_to_half(h) == bits ? 0 : 1;
    }
    if (std::isnan(b)) {
      wrong += std::isnan(distill::detail::bfloat16_to_float(distill::detail::float_to_bfloat16(b))) ? 0 : 1;
    } else {
      wrong += distill::detail::float_to_bfloat16(b) == bits ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("float to half and bfloat16: to nearest, ties to even") {
  std::size_t wrong = 0;
  for (const float x : hard_to_round()) {
    wrong += distill::detail::float_to_half(x) == encode(x, 5, 10) ? 0 : 1;
    wrong += distill::detail::float_to_bfloat16(x) == encode(x, 8, 7) ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(distill::detail::float_to_half(1.0f + 0x1p-11f) == 0x3C00);      // tie, to even: down
  CHECK(distill::detail::float_to_half(1.0f + 3 * 0x1p-11f) == 0x3C02);  // tie, to even: up
  CHECK(distill::detail::float_to_half(65519.996f) == 0x7BFF);
  CHECK(distill::detail::float_to_half(65520.0f) == 0x7C00);
  CHECK(distill::detail::float_to_bfloat16(1.0f + 0x1p-8f) == 0x3F80);
  CHECK(distill::detail::float_to_bfloat16(1.0f + 3 * 0x1p-8f) == 0x3F82);
}

TEST_CASE("NaN stays NaN, with any payload") {
  for (const std::uint32_t bits : {0x7F800001u, 0x7FC00000u, 0xFF800001u, 0xFFFFFFFFu, 0x7F80FFFFu}) {
    float x;
    std::memcpy(&x, &bits, 4);
    CHECK(std::isnan(distill::detail::half_to_float(distill::detail::float_to_half(x))));
    CHECK(std::isnan(distill::detail::bfloat16_to_float(distill::detail::float_to_bfloat16(x))));
  }
}

#if defined(__FLT16_MANT_DIG__)
#if defined(__ARM_FP16_FORMAT_IEEE)
using CompilersHalf = __fp16;  // its _Float16 is not known to gcc 12 there
#else
using CompilersHalf = _Float16;
#endif

TEST_CASE("half agrees with the compiler's own") {
  std::size_t wrong = 0;
  for (std::uint32_t k = 0; k < 0x10000; ++k) {
    const auto bits = static_cast<std::uint16_t>(k);
    CompilersHalf h;
    std::memcpy(static_cast<void*>(&h), &bits, 2);
    const auto expected = static_cast<float>(h);
    const float actual = distill::detail::load_scalar<float>(&h);
    wrong += actual == expected || (std::isnan(actual) && std::isnan(expected)) ? 0 : 1;
  }
  for (const float x : hard_to_round()) {
    const auto expected = static_cast<CompilersHalf>(x);
    std::uint16_t bits;
    std::memcpy(&bits, static_cast<const void*>(&expected), 2);
    wrong += distill::detail::float_to_half(x) == bits ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(format<CompilersHalf> == Format::float16);
}
#endif

TEST_CASE("formats are recognised") {
  CHECK(format<float> == Format::float32);
  CHECK(format<double> == Format::float64);
  CHECK(format<distill::half> == Format::float16);
  CHECK(format<distill::bfloat16> == Format::brain16);
  CHECK(format<Eigen::half> == Format::float16);
  CHECK(format<Eigen::bfloat16> == Format::brain16);
  CHECK(format<Foreign> == Format::brain16);
  CHECK(format<std::uint16_t> == Format::unsupported);
  CHECK(format<std::int16_t> == Format::unsupported);
  CHECK(format<char16_t> == Format::unsupported);
  CHECK(format<int> == Format::unsupported);
  CHECK(format<long double> == Format::unsupported);
  CHECK(format<Unknown> == Format::unsupported);
  CHECK(distill::detail::format_of<const float> == Format::float32);
  CHECK(distill::detail::format_of<const volatile distill::half> == Format::float16);
}

TEST_CASE("Eigen's two-byte types are read and written by their bits") {
  const Eigen::half h(1.5f);
  const Eigen::bfloat16 b(-2.5f);
  CHECK(distill::detail::load_scalar<float>(&h) == 1.5f);
  CHECK(distill::detail::load_scalar<double>(&b) == -2.5);
  Eigen::half to_h;
  Eigen::bfloat16 to_b;
  distill::detail::store_scalar(&to_h, 0.1);
  distill::detail::store_scalar(&to_b, 0.1f);
  CHECK(static_cast<float>(to_h) == static_cast<float>(Eigen::half(0.1f)));
  CHECK(static_cast<float>(to_b) == static_cast<float>(Eigen::bfloat16(0.1f)));
}

TEST_CASE("what numbers are computed in") {
  CHECK(std::is_same_v<distill::detail::compute_t<float>, float>);
  CHECK(std::is_same_v<distill::detail::compute_t<distill::half, distill::bfloat16>, float>);
  CHECK(std::is_same_v<distill::detail::compute_t<distill::half, double>, double>);
  CHECK(std::is_same_v<distill::detail::compute_t<const double, float>, double>);
}
