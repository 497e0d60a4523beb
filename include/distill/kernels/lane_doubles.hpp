// A number in double for each lane: what a group of rows, each in a lane, ends with.
#pragma once

#include <cstddef>
#include <limits>

#include <distill/core/version.hpp>
#include <distill/kernels/exp_stream.hpp>
#include <distill/kernels/lanes.hpp>
#include <distill/kernels/log.hpp>
#include <distill/kernels/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

template <class L>
struct LaneDoubles {
  using D = Lanes<double, typename L::Arch>;
  static constexpr bool has_second = L::width > D::width;
  D first, second;  // of the first lanes and of the others: no array, which gcc 12 would keep in memory

  LaneDoubles() = default;
  LaneDoubles(double x) : first(x), second(x) {}
  explicit LaneDoubles(const double* of) : first(load<D>(of)), second(has_second ? load<D>(of + D::width) : first) {}
  explicit LaneDoubles(L x) { widen(x, first, second); }
  [[gnu::always_inline]] explicit LaneDoubles(const CompensatedSum<L>& sum)
      : LaneDoubles(LaneDoubles(sum.sum) - LaneDoubles(sum.excess)) {}

  void store_to(double* of) const {
    store(first, of);
    if (has_second) store(second, of + D::width);
  }
  /// The numbers, rounded ...
  [[gnu::always_inline]] L high() const { return narrow<L>(first, second); }
  /// ... and what rounding left.
  [[gnu::always_inline]] L low() const { return (*this - LaneDoubles(high())).high(); }

  bool are_finite() const { return all_lanes(first - first <= D(0)) && all_lanes(second - second <= D(0)); }
  bool are_positive() const { return all_lanes(D(0) < first) && all_lanes(D(0) < second); }

  template <class Function, class... Operands>
  [[gnu::always_inline]] static LaneDoubles of_each(const Function& f, const Operands&... x) {
    LaneDoubles result;
    result.first = f(x.first...);
    result.second = has_second ? f(x.second...) : result.first;
    return result;
  }
  friend LaneDoubles operator+(const LaneDoubles& a, const LaneDoubles& b) {
    return of_each([](D x, D y) { return x + y; }, a, b);
  }
  friend LaneDoubles operator-(const LaneDoubles& a, const LaneDoubles& b) {
    return of_each([](D x, D y) { return x - y; }, a, b);
  }
  friend LaneDoubles operator*(const LaneDoubles& a, const LaneDoubles& b) {
    return of_each([](D x, D y) { return x * y; }, a, b);
  }
  friend LaneDoubles operator/(const LaneDoubles& a, const LaneDoubles& b) {
    return of_each([](D x, D y) { return x / y; }, a, b);
  }
  friend LaneDoubles larger(const LaneDoubles& a, const LaneDoubles& b) {
    return of_each([](D x, D y) { return larger(x, y); }, a, b);
  }
  friend LaneDoubles log(const LaneDoubles& a) {
    LaneDoubles result;
    result.first = log(a.first);
    result.second = has_second ? log(a.second) : result.first;
    return result;
  }
  /// log(1 + x) for x >= 0, with the digits that 1 + x loses
  friend LaneDoubles log1p(const LaneDoubles& a) {
    const LaneDoubles u = 1.0 + a, rest = u - 1.0, quotient = a / rest;
    return of_each([](D r, D x, D log_of_u, D q) { return select(r <= D(0), x, log_of_u * q); }, rest, a, log(u),
                   quotient);
  }
};

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
