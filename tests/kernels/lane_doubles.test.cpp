#include <doctest/doctest.h>

#include <cmath>
#include <distill/kernels/simd/lane_doubles.hpp>
#include <limits>

#include "support/architectures.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::kernels::LaneDoubles;
using distill::kernels::Lanes;
using distill::kernels::load;
using distill::kernels::store;

template <class L>
void check() {
  using T = typename L::Scalar;
  constexpr std::size_t width = L::width;
  double x[width], y[width];
  for (std::size_t r = 0; r < width; ++r) {
    x[r] = 1 + static_cast<double>(r) / 3;
    y[r] = std::ldexp(1 + static_cast<double>(r), -60);
  }
  const LaneDoubles<L> a(x), b(y);

  T numbers[width], rests[width];
  store(a.high(), numbers);
  store(a.low(), rests);
  double back[width];
  LaneDoubles<L>(a.high()).store_to(back);
  for (std::size_t r = 0; r < width; ++r) {
    CHECK(numbers[r] == static_cast<T>(x[r]));
    CHECK(rests[r] == static_cast<T>(x[r] - static_cast<double>(numbers[r])));
    CHECK(back[r] == static_cast<double>(numbers[r]));
  }

  const auto each = [&](const LaneDoubles<L>& result, double (*expected)(double, double)) {
    double of[width];
    result.store_to(of);
    for (std::size_t r = 0; r < width; ++r) {
      const double exact = expected(x[r], y[r]);
      CHECK(std::abs(of[r] - exact) <= tolerances::lane_doubles * std::abs(exact));
    }
  };
  each(a + b, [](double p, double q) { return p + q; });
  each(2 - a, [](double p, double) { return 2 - p; });
  each(a * 3, [](double p, double) { return p * 3; });
  each(a / b, [](double p, double q) { return p / q; });
  each(larger(a, 1.5), [](double p, double) { return p > 1.5 ? p : 1.5; });
  each(log(b), [](double, double q) { return std::log(q); });
  each(log1p(a), [](double p, double) { return std::log1p(p); });
  each(log1p(b), [](double, double q) { return std::log1p(q); });

  CHECK(a.are_finite());
  CHECK(a.are_positive());
  for (const double bad : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    for (std::size_t r = 0; r < width; ++r) {
      double with_bad[width];
      a.store_to(with_bad);
      with_bad[r] = bad;
      CHECK(!LaneDoubles<L>(with_bad).are_finite());
      with_bad[r] = 0;
      CHECK(!LaneDoubles<L>(with_bad).are_positive());
    }
  }
}

}  // namespace

TEST_CASE_TEMPLATE("lanes in double: rounding, what it leaves, arithmetic, logarithms", Arch,
                   DISTILL_TEST_ARCHITECTURES) {
  check<Lanes<float, Arch>>();
  check<Lanes<double, Arch>>();
}
