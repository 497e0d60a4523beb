#include <doctest/doctest.h>

#include <distill/core/error.hpp>
#include <limits>
#include <stdexcept>

#include "support/data.hpp"

TEST_CASE("a mistake is an std::invalid_argument that says who, what and what else was expected") {
  CHECK_THROWS_WITH_AS(distill::detail::fail("KlDivergence", "teacher has ", 10, " columns, student has ", 12),
                       "KlDivergence: teacher has 10 columns, student has 12", std::invalid_argument);
}

TEST_CASE("numbers out of range are named and shown") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  using namespace distill::detail;
  require_positive_finite("f", "x", std::numeric_limits<double>::denorm_min());
  require_positive_finite("f", "x", std::numeric_limits<double>::max());
  for (const double bad : {0.0, -0.0, -1.0, inf, nan}) {
    support::check_throws([&] { require_positive_finite("f", "x", bad); },
                          {"f: x is ", "expected a positive finite number"});
  }
  require_finite("f", "x", -1);
  for (const double bad : {inf, -inf, nan}) {
    support::check_throws([&] { require_finite("f", "x", bad); }, {"f: x is ", "expected a finite number"});
  }
  require_unit_interval("f", "x", 0);
  require_unit_interval("f", "x", 1);
  for (const double bad : {-1e-300, 1.0000001, inf, nan}) {
    support::check_throws([&] { require_unit_interval("f", "x", bad); }, {"f: x is ", "expected a number from 0 to 1"});
  }
}
