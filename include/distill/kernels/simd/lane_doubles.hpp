// One double per lane: for the end of a group of rows, one row per lane.
#pragma once

#include <cstddef>
#include <type_traits>

#include <distill/core/version.hpp>
#include <distill/kernels/simd/compensated_sum.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/log.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

namespace shim {

// What turns floats into doubles in the registers: lanes of 16 and of 32 bytes.
#if !defined(DISTILL_NO_SIMD) && defined(__SSE2__)
template <class L>
inline constexpr bool widens_natively = std::is_same_v<typename L::Scalar, float> &&
                                        (sizeof(L) == 16 || is_avx_float<L>);

template <class L, class D>
void widen(L x, D& first, D& second) {
#if defined(__AVX__)
  if constexpr (sizeof(L) == 32) {
    first = typename D::Batch(_mm256_cvtps_pd(_mm256_castps256_ps128(x.value)));
    second = typename D::Batch(_mm256_cvtps_pd(_mm256_extractf128_ps(x.value, 1)));
  } else
#endif
  {
    first = typename D::Batch(_mm_cvtps_pd(x.value));
    second = typename D::Batch(_mm_cvtps_pd(_mm_movehl_ps(x.value, x.value)));
  }
}
template <class L, class D>
L narrow(D first, D second) {
#if defined(__AVX__)
  if constexpr (sizeof(L) == 32) {
    const __m256 low = _mm256_castps128_ps256(_mm256_cvtpd_ps(first.value));
    return typename L::Batch(_mm256_insertf128_ps(low, _mm256_cvtpd_ps(second.value), 1));
  } else
#endif
  {
    return typename L::Batch(_mm_movelh_ps(_mm_cvtpd_ps(first.value), _mm_cvtpd_ps(second.value)));
  }
}
#else
template <class L>
inline constexpr bool widens_natively = false;
template <class L, class D>
void widen(L, D&, D&) = delete;
template <class L, class D>
L narrow(D, D) = delete;
#endif

}  // namespace shim

/// The numbers in L's lanes as doubles, in two vectors where one has too few lanes (else the second is the first).
template <class L, class D>
[[gnu::always_inline]] inline void widen(L x, D& first, D& second) {
  if constexpr (std::is_same_v<L, D>) {
    first = second = x;
  } else if constexpr (shim::widens_natively<L>) {
    shim::widen(x, first, second);
  } else {
    alignas(64) typename L::Scalar numbers[L::width];
    alignas(64) double wide[L::width];
    store(x, numbers);
    for (std::size_t i = 0; i < L::width; ++i) wide[i] = static_cast<double>(numbers[i]);
    first = load<D>(wide);
    second = load<D>(wide + (L::width - D::width));
  }
}
/// The reverse: each number is rounded.
template <class L, class D>
[[gnu::always_inline]] inline L narrow(D first, D second) {
  if constexpr (std::is_same_v<L, D>) {
    return first;
  } else if constexpr (shim::widens_natively<L>) {
    return shim::narrow<L>(first, second);
  } else {
    using T = typename L::Scalar;
    alignas(64) double wide[L::width];
    alignas(64) T numbers[L::width];
    store(first, wide);
    store(second, wide + (L::width - D::width));
    for (std::size_t i = 0; i < L::width; ++i) numbers[i] = static_cast<T>(wide[i]);
    return load<L>(numbers);
  }
}

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
  /// ... and their rounding errors.
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
  [[gnu::always_inline]] friend LaneDoubles log(const LaneDoubles& a) {
    LaneDoubles result;
    result.first = log(a.first);
    result.second = has_second ? log(a.second) : result.first;
    return result;
  }
  friend LaneDoubles log1p(const LaneDoubles& a) {
    LaneDoubles result;
    result.first = log1p(a.first);
    result.second = has_second ? log1p(a.second) : result.first;
    return result;
  }
};

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
