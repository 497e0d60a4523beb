#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <distill/kernels/simd/exp2.hpp>
#include <distill/kernels/simd/memory.hpp>
#include <limits>
#include <random>
#include <utility>

#include "support/architectures.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::kernels::ExpScale;
using distill::kernels::Lanes;

template <class T, class Arch>
T exp2_of(T x, double scale, double offset) {
  using L = Lanes<T, Arch>;
  ExpScale<L> constants(scale);
  constants.set_offset(offset);
  T buffer[L::width];
  distill::kernels::store(distill::kernels::exp2(distill::kernels::exponent(L(x), constants)), buffer);
  bool same = true;
  for (const T lane : buffer) same = same && (lane == buffer[0] || std::isnan(lane));
  if (!same) FAIL("lanes differ");
  return buffer[L::width - 1];
}

/// The same by FiniteExp2, for a number in the last lane, whose other lanes are in range; and whether it was, too.
template <class T, class Arch>
std::pair<T, bool> finite_exp2_of(T x, double scale, double offset) {
  using L = Lanes<T, Arch>;
  ExpScale<L> constants(scale);
  constants.set_offset(offset);
  T buffer[L::width];
  for (T& lane : buffer) lane = static_cast<T>(offset / scale);
  buffer[L::width - 1] = x;
  distill::kernels::FiniteExp2<L> exp2;
  distill::kernels::store(exp2(distill::kernels::exponent(distill::kernels::load<L>(buffer), constants)), buffer);
  return {buffer[L::width - 1], exp2.were_in_range()};
}

/// The largest error in ULP for x * scale - offset from -126 (-1022) to 100. In double the scale is rounded to double.
template <class T, class Arch>
double worst_ulp(double scale, double offset) {
  std::mt19937 engine(7);
  const double lowest = std::is_same_v<T, float> ? -125.9 : -1021.9;
  std::uniform_real_distribution<double> exponents(lowest, 100);
  double worst = 0;
  for (int k = 0; k < 20000; ++k) {
    const auto x = static_cast<T>((exponents(engine) + offset) / scale);
    const auto wide_x = static_cast<long double>(x), wide_scale = static_cast<long double>(scale);
    const long double product = wide_x * wide_scale;
    const long double rest = std::fma(wide_x, wide_scale, -product);  // what the product's rounding lost
    const long double exact = std::exp2((product - static_cast<long double>(offset)) + rest);
    if (exact < static_cast<long double>(std::numeric_limits<T>::min())) continue;
    const T actual = exp2_of<T, Arch>(x, scale, offset);
    int exponent;
    std::frexp(exact, &exponent);
    const long double ulp = std::ldexp(1.0L, exponent - std::numeric_limits<T>::digits);
    const auto error = static_cast<double>(std::abs(static_cast<long double>(actual) - exact) / ulp);
    worst = error <= worst ? worst : error;
  }
  return worst;
}

}  // namespace

TEST_CASE_TEMPLATE("exp2: error in ULP over scales and offsets", Arch, DISTILL_TEST_ARCHITECTURES) {
  for (const double scale : {1.0, distill::kernels::log2_e, distill::kernels::log2_e / 4,
                             distill::kernels::log2_e / 0.05, distill::kernels::log2_e / 1000}) {
    for (const double offset : {0.0, 1.0, -3.0, 1000.0, -1000.0, 100000.0, -1048576.0, 1048576.0}) {
      CAPTURE(scale);
      CAPTURE(offset);
      CHECK(worst_ulp<double, Arch>(scale, offset) <= tolerances::exp2_double_ulp);
      if (std::abs(offset) > distill::kernels::max_offset<Lanes<float, Arch>>) continue;
      CHECK(worst_ulp<float, Arch>(scale, offset) <= tolerances::exp2_float_ulp);
    }
  }
}

TEST_CASE_TEMPLATE("exp2: infinity, NaN, and what is too small", Arch, DISTILL_TEST_ARCHITECTURES) {
  const auto check = [](auto type) {
    using T = decltype(type);
    constexpr T inf = std::numeric_limits<T>::infinity();
    const T lowest = std::is_same_v<T, float> ? -126 : -1022;
    for (const double offset : {0.0, 7.0, -1000.0, 1e6}) {
      const auto at = [&](T x) { return exp2_of<T, Arch>(x, 1, offset); };
      CHECK(at(-inf) == 0);
      CHECK(std::isnan(at(std::numeric_limits<T>::quiet_NaN())));
      CHECK(at(std::numeric_limits<T>::lowest()) == 0);
      CHECK(at(static_cast<T>(-1e9)) == 0);
      const auto shift = static_cast<T>(offset);
      CHECK(at(shift) == doctest::Approx(1).epsilon(1e-6));
      CHECK(at(shift + lowest) > 0);
      CHECK(at(shift + lowest - 1) == 0);
      CHECK(at(shift + lowest - 500) == 0);
      CHECK(at(shift + lowest - 5000) == 0);
      CHECK(at(shift + 127) == doctest::Approx(0x1p127).epsilon(1e-6));
    }
    CHECK(exp2_of<T, Arch>(-inf, 1, 0) == 0);
    CHECK(std::isnan(exp2_of<T, Arch>(std::numeric_limits<T>::quiet_NaN(), 1, 0)));
  };
  check(float{});
  check(double{});
}

TEST_CASE("has_fma is told truly") {
  // (1 + e)(1 - e) - 1 = -e^2, which only a product that is not rounded keeps
  using L = Lanes<float, support::Default>;
  volatile float e = 0x1p-13f;
  float buffer[L::width];
  distill::kernels::store(distill::kernels::fms(L(1 + e), L(1 - e), L(1.0f)), buffer);
  if (distill::kernels::has_fma<support::Default>) {
    CHECK(buffer[0] == -0x1p-26f);
  }
  distill::kernels::store(distill::kernels::fma(L(1 + e), L(1 - e), L(-1.0f)), buffer);
  if (distill::kernels::has_fma<support::Default>) {
    CHECK(buffer[0] == -0x1p-26f);
  }
}

TEST_CASE_TEMPLATE("single numbers are multiplied and added in one operation where the machine can", T, float, double) {
  using One = Lanes<T, distill::kernels::ScalarArch>;
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || (defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF))
  CHECK(distill::kernels::is_fast_fma<T>);
#endif
  volatile T e = std::numeric_limits<T>::epsilon();
  const T square = fma(One(1 + e), One(1 - e), One(T(-1))).value;
  if (distill::kernels::is_fast_fma<T>) CHECK(square == -e * e);
}

TEST_CASE_TEMPLATE("exp2 of finite numbers is the same, and reports those beyond its range", Arch,
                   DISTILL_TEST_ARCHITECTURES) {
  const auto check = [](auto type) {
    using T = decltype(type);
    constexpr T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
    const int bias = std::is_same_v<T, float> ? 127 : 1023;
    std::mt19937 engine(11);
    std::uniform_real_distribution<double> exponents(-1.2 * bias, bias);
    for (const double offset : {0.0, 7.0, -1000.0}) {
      const auto at = [&](double x) { return finite_exp2_of<T, Arch>(static_cast<T>(x + offset), 1, offset); };
      for (int k = 0; k < 2000; ++k) {
        const double x = exponents(engine);
        CHECK(at(x).first == exp2_of<T, Arch>(static_cast<T>(x + offset), 1, offset));
        CHECK(at(x).second);
      }
      for (const double x : {-1e4, -1e6, -1e9, -1e12}) {
        CHECK(at(x).first == 0);
        CHECK(at(x).second);
      }
      for (const double x : {bias + 2.0, 2.5 * bias, 1e4, 1e5, 1e9, 1e30}) {
        CHECK((!at(x).second || at(x).first == inf));
      }
      for (const T x : {inf, -inf, nan}) CHECK(std::isnan(finite_exp2_of<T, Arch>(x, 1, offset).first));
    }
  };
  check(float{});
  check(double{});
}
