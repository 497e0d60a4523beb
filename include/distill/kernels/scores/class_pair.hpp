// A class as the student and the teacher see it: both probabilities, and how they differ.
#pragma once

#include <cmath>

#include <distill/core/version.hpp>
#include <distill/kernels/rows/row_sums.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/series.hpp>
#include <distill/kernels/simd/two_parts.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

template <class L>
struct ClassPair {
  L p, q;
  L q_minus_p;  // to its own precision
  L log_ratio;  // log p - log q, +-infinity where one of them is masked, 0 where both are
};

/// log_ratio within which series are used.
inline constexpr double near_ratio = 0.5;

template <class L>
auto is_near(const ClassPair<L>& c) {
  using T = typename L::Scalar;
  return c.log_ratio * c.log_ratio < L(T(near_ratio * near_ratio));
}

/// A class by the logarithms of its probabilities, one number at a time; `log_ratio` may be more accurate than their
/// difference.
template <class T>
ClassPair<Lanes<T, ScalarArch>> class_pair(T log_p, T log_q, T log_ratio) {
  ClassPair<Lanes<T, ScalarArch>> c;
  c.p = std::exp(log_p);
  c.q = std::exp(log_q);
  c.log_ratio = c.p.value + c.q.value == 0 ? T(0) : log_ratio;
  c.q_minus_p = is_near(c) ? c.p.value * std::expm1(-c.log_ratio.value) : c.q.value - c.p.value;
  return c;
}

/// log p - log q of a class from its scores t and s, with the rounding error of t - s, so that nearly equal ones keep
/// their digits. +-infinity where one of them is masked.
template <class L>
struct LogRatio {
  TwoParts<L> shift;  // temperature times log(the teacher's sum / the student's)
  L inverse_temperature;

  LogRatio(const TwoParts<L>& of_sums, double temperature)
      : shift(of_sums), inverse_temperature(static_cast<typename L::Scalar>(1 / temperature)) {}
  LogRatio(const PairSums& sums, double temperature)
      : LogRatio(TwoParts<L>(temperature * sums.log_ratio()), temperature) {}

  [[gnu::always_inline]] L operator()(L s, L t) const {
    using T = typename L::Scalar;
    const L u = t - s, v = u - t, error = (t - (u - v)) - (s + v);
    const L u_error = select(absolute(u) < L(infinity<T>), error, L(T(0)));
    return ((u - shift.high) + (u_error - shift.low)) * inverse_temperature;
  }
};

/// Classes by their exponentials, and by their scores for what is lost in those.
template <class L>
[[gnu::always_inline]] inline ClassPair<L> class_pair(L s_power, const Normaliser<L>& q_unit, L t_power,
                                                      const Normaliser<L>& p_unit, L log_ratio) {
  const L zero(typename L::Scalar(0));
  ClassPair<L> c;
  c.p = p_unit(t_power);
  c.q = q_unit(s_power);
  c.log_ratio = select(zero < c.p + c.q, log_ratio, zero);
  const L difference = scaled_difference(s_power, q_unit, t_power, p_unit);
  c.q_minus_p = select(is_near(c), c.p * (exp_excess(zero - c.log_ratio) - c.log_ratio), difference);
  return c;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
