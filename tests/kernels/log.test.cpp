#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <distill/kernels/simd/log.hpp>
#include <distill/kernels/simd/memory.hpp>
#include <limits>
#include <random>

#include "support/architectures.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::kernels::Lanes;

template <class T, class Arch>
T log_of(T x) {
  using L = Lanes<T, Arch>;
  T buffer[L::width];
  distill::kernels::store(distill::kernels::log(L(x)), buffer);
  return buffer[L::width - 1];
}

template <class T>
double ulp_error(T actual, long double exact) {
  int exponent;
  std::frexp(exact, &exponent);
  const long double ulp = std::ldexp(1.0L, exponent - std::numeric_limits<T>::digits);
  return static_cast<double>(std::abs(static_cast<long double>(actual) - exact) / ulp);
}

template <class T, class Arch>
double worst_ulp(double lowest_power, double highest_power) {
  std::mt19937 engine(7);
  std::uniform_real_distribution<double> powers(lowest_power, highest_power);
  double worst = 0;
  for (int k = 0; k < 20000; ++k) {
    const auto x = static_cast<T>(std::exp2(powers(engine)));
    if (x == 1) continue;
    const double error = ulp_error(log_of<T, Arch>(x), std::log(static_cast<long double>(x)));
    worst = error <= worst ? worst : error;
  }
  return worst;
}

}  // namespace

TEST_CASE_TEMPLATE("log: error in ULP, far from 1 and near it", Arch, DISTILL_TEST_ARCHITECTURES) {
  CHECK(worst_ulp<float, Arch>(-125, 126) <= tolerances::log_ulp);
  CHECK(worst_ulp<float, Arch>(-0.01, 0.01) <= tolerances::log_ulp);
  CHECK(worst_ulp<double, Arch>(-1021, 1022) <= tolerances::log_ulp);
  CHECK(worst_ulp<double, Arch>(-0.01, 0.01) <= tolerances::log_ulp);
}

TEST_CASE_TEMPLATE("log: 0, 1, infinity, NaN and negative numbers", Arch, DISTILL_TEST_ARCHITECTURES) {
  const auto check = [](auto type) {
    using T = decltype(type);
    constexpr T infinity = std::numeric_limits<T>::infinity();
    CHECK(log_of<T, Arch>(0) == -infinity);
    CHECK(log_of<T, Arch>(std::numeric_limits<T>::denorm_min()) == -infinity);
    CHECK(log_of<T, Arch>(1) == 0);
    CHECK(log_of<T, Arch>(infinity) == infinity);
    CHECK(std::isnan(log_of<T, Arch>(std::numeric_limits<T>::quiet_NaN())));
    CHECK(std::isnan(log_of<T, Arch>(-1)));
    CHECK(std::isnan(log_of<T, Arch>(-infinity)));
  };
  check(float{});
  check(double{});
}

TEST_CASE("the scalar functions of a row's end") {
  for (const double x : {0.0, 1e-300, 1e-17, 1e-8, 0.3, 1.0, 7.0, 1e300}) {
    CAPTURE(x);
    const long double exact = std::log1p(static_cast<long double>(x));
    CHECK(std::abs(static_cast<long double>(distill::kernels::scalar_log1p(x)) - exact) <= 1e-15L * exact);
  }
  for (const double x : {-1021.5, -50.25, -1.0, 0.0, 0.5, 1022.75}) {
    CAPTURE(x);
    const long double exact = std::exp2(static_cast<long double>(x));
    CHECK(std::abs(static_cast<long double>(distill::kernels::scalar_exp2(x)) - exact) <= 1e-15L * exact);
  }
  constexpr double infinity = std::numeric_limits<double>::infinity();
  CHECK(distill::kernels::scalar_exp2(-infinity) == 0);
  CHECK(distill::kernels::scalar_exp2(-2000) == 0);
  CHECK(distill::kernels::scalar_exp2(2000) == infinity);
  CHECK(std::isnan(distill::kernels::scalar_exp2(std::numeric_limits<double>::quiet_NaN())));
}
