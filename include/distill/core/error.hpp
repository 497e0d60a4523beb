// Reports a caller's mistake: std::invalid_argument, or a message and abort without exceptions.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>

#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace detail {

[[noreturn]] inline void report_invalid_argument(const std::string& message) {
#if defined(DISTILL_INVALID_ARGUMENT)
  DISTILL_INVALID_ARGUMENT(message.c_str());  // the host's own handler; it must not return
  std::abort();
#elif DISTILL_EXCEPTIONS
  throw std::invalid_argument(message);
#else
  std::fprintf(stderr, "%s\n", message.c_str());
  std::abort();
#endif
}

/// fail("KlDivergence", "teacher has ", 10, " columns, student has ", 12)
template <class... Parts>
[[noreturn]] void fail(const char* who, const Parts&... parts) {
  std::ostringstream message;
  message << who << ": ";
  (message << ... << parts);
  report_invalid_argument(message.str());
}

inline void require_positive_finite(const char* who, const char* name, double value) {
  if (!(value > 0) || !std::isfinite(value)) fail(who, name, " is ", value, ", expected a positive finite number");
}

/// The temperature of a loss that may be multiplied by its square, which is to be a number.
inline void require_temperature(const char* who, double temperature) {
  require_positive_finite(who, "temperature", temperature);
  if (temperature > 1e150) fail(who, "temperature is ", temperature, ", expected at most 1e+150");
}

inline void require_finite(const char* who, const char* name, double value) {
  if (!std::isfinite(value)) fail(who, name, " is ", value, ", expected a finite number");
}

inline void require_nonnegative_finite(const char* who, const char* name, double value) {
  if (!(value >= 0) || !std::isfinite(value))
    fail(who, name, " is ", value, ", expected a finite number of at least 0");
}

inline void require_unit_interval(const char* who, const char* name, double value) {
  if (!(value >= 0 && value <= 1)) fail(who, name, " is ", value, ", expected a number from 0 to 1");
}

}  // namespace detail
}  // namespace DISTILL_ABI
}  // namespace distill
