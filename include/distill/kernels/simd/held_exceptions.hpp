// Floating-point exceptions that say nothing about a result: of a sweep that is tried on numbers which may be too large
// for it, of lanes that hold no element, of what a select then leaves out. People trap FE_INVALID, FE_DIVBYZERO and
// FE_OVERFLOW to find out where NaN comes from, so no call is to raise them on finite input.
#pragma once

#include <cfenv>

#include <distill/core/version.hpp>

#if defined(__SSE2_MATH__) || defined(_M_X64)
#define DISTILL_HAS_MXCSR 1
#include <xmmintrin.h>
#endif

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// While it lives the thread traps no exception, and those that are raised are forgotten. Of long double's unit, too.
class AllExceptionsHeld {
 public:
  AllExceptionsHeld() { std::feholdexcept(&environment_); }
  ~AllExceptionsHeld() { std::fesetenv(&environment_); }
  AllExceptionsHeld(const AllExceptionsHeld&) = delete;
  AllExceptionsHeld& operator=(const AllExceptionsHeld&) = delete;

 private:
  std::fenv_t environment_;
};

struct NothingHeld {};

#if defined(DISTILL_HAS_MXCSR)
#undef DISTILL_HAS_MXCSR

/// The same for float and double alone, in a few instructions. What computes in long double holds all.
class ExceptionsHeld {
 public:
  ExceptionsHeld() : control_(_mm_getcsr()) {
    if ((control_ & traps) != traps) _mm_setcsr(control_ | traps);
    keep_order();
  }
  ~ExceptionsHeld() {
    keep_order();
    _mm_setcsr(control_);
  }
  ExceptionsHeld(const ExceptionsHeld&) = delete;
  ExceptionsHeld& operator=(const ExceptionsHeld&) = delete;

 private:
  static constexpr unsigned traps = 0x1F80;  // a bit that is set: no trap
  /// Compilers may not know that arithmetic depends on the control register.
  static void keep_order() {
#if defined(__GNUC__)
    asm volatile("" ::: "memory");
#endif
  }
  unsigned control_;
};

#else

using ExceptionsHeld = AllExceptionsHeld;

#endif

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
