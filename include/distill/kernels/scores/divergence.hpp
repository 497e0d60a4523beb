// A class's terms of each divergence D of the teacher's probabilities p and the student's q: a value and a slope, q
// dD/dq. The row kernel (divergence_row.hpp) is the same for all of them.
//
// Values are written so that none is negative: as a generator with value and derivative 0 at p = q (the Bregman form),
// whose linear parts add up to 0 over a row. Slopes may leave out the same multiple of q for every class, because it
// cancels in the gradient, slope - q sum(slopes); it is chosen so that they are 0 at p = q. Near p = q both come from
// series in log p - log q, so neither is a small difference of large terms.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include <distill/core/version.hpp>
#include <distill/kernels/scores/class_pair.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/log.hpp>
#include <distill/kernels/simd/series.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

template <class L>
struct ClassTerm {
  L value;
  L slope;
};

/// A row's divergence within its range, which roundings may leave: from 0 to the term's largest_sum. NaN stays.
template <class T, class Term>
T bounded(T sum, const Term& term) {
  const T largest = static_cast<T>(term.largest_sum());
  return sum < 0 ? 0 : sum > largest ? largest : sum;
}
inline constexpr double no_largest_sum = std::numeric_limits<double>::infinity();

/// a * b, but 0 where a is 0 whatever b is
template <class L>
L masked_product(L a, L b) {
  const L zero(typename L::Scalar(0));
  return select(zero < a, a * b, zero);
}

/// x where it is finite, else 0: an infinite loss has a finite gradient, made of the other classes.
template <class L>
L finite_or_zero(L x) {
  using T = typename L::Scalar;
  return select(absolute(x) < L(std::numeric_limits<T>::infinity()), x, L(T(0)));
}

/// a log(a / b) + b - a, of which KL(a || b) is the sum; `relative` is (b - a) / a
template <class L>
L kl_term(L a, L b_minus_a, L relative, L log_ratio) {
  using T = typename L::Scalar;
  return select(absolute(relative) < L(T(0.25)), a * log_excess(relative), masked_product(a, log_ratio) + b_minus_a);
}

/// (exp(-d) - 1 + d) / d^2 for |d| <= 2
template <class L>
L bregman_quotient(L d) {
  L sum(static_cast<typename L::Scalar>(-2.5569959132441665e-08));
  for (const double coefficient :
       {2.967222864385827e-07, -2.7599766274859566e-06, 2.4728874921122328e-05, -0.000198391387593977,
        0.001388989283148517, -0.008333361242228086, 0.04166661906809512, -0.16666665775765507, 0.5000000035018856}) {
    sum = fma(sum, d, L(static_cast<typename L::Scalar>(coefficient)));
  }
  return sum;
}

/// A class's share of KL(p || q) that is never negative, p (exp(-d) - 1 + d) with d = log p - log q; and q - p.
template <class L>
struct NonnegativeTerm {
  L value, q_minus_p;

  [[gnu::always_inline]] NonnegativeTerm(L p, L q, L d) {
    using T = typename L::Scalar;
    constexpr bool is_float = std::is_same_v<T, float>;
    constexpr double reach = is_float ? 2 : near_ratio;
    // where p is 0, d may be infinite or NaN; any d that is not small then gives q
    const L ratio = select(p <= L(T(0)), L(T(3)), d), squared = ratio * ratio, difference = q - p;
    L excess;
    if constexpr (is_float) {
      excess = squared * bregman_quotient(ratio);
    } else {
      excess = exp_excess(L(T(0)) - ratio);
    }
    value = select(squared < L(T(reach * reach)), p * excess, fma(p, ratio, difference));
    q_minus_p = select(squared < L(T(near_ratio * near_ratio)), p * (excess - ratio), difference);
  }
};

/// KL(p || q)
struct ForwardKlTerm {
  static double largest_sum() { return no_largest_sum; }
  template <class L>
  ClassTerm<L> operator()(const ClassPair<L>& c) const {
    return {NonnegativeTerm<L>(c.p, c.q, c.log_ratio).value, c.q_minus_p};
  }
};

/// KL(q || p): slope q (log q - log p)
struct ReverseKlTerm {
  static double largest_sum() { return no_largest_sum; }
  template <class L>
  ClassTerm<L> operator()(const ClassPair<L>& c) const {
    const L zero(typename L::Scalar(0));
    const L slope = zero - masked_product(c.q, c.log_ratio);
    return {select(is_near(c), c.q * exp_excess(c.log_ratio), slope - c.q_minus_p), finite_or_zero(slope)};
  }
};

/// forward KL(p || q) + reverse KL(q || p)
struct SymmetricKlTerm {
  double forward, reverse;

  static double largest_sum() { return no_largest_sum; }
  template <class L>
  ClassTerm<L> operator()(const ClassPair<L>& c) const {
    using T = typename L::Scalar;
    const L f(static_cast<T>(forward)), r(static_cast<T>(reverse));
    const ClassTerm<L> a = ForwardKlTerm{}(c), b = ReverseKlTerm{}(c);
    // a direction with weight 0 is absent, even where it is infinite
    if (forward == 0) return {r * b.value, r * b.slope};
    if (reverse == 0) return {f * a.value, f * a.slope};
    return {f * a.value + r * b.value, f * a.slope + r * b.slope};
  }
};

/// KL(p || m), m = skew p + (1 - skew) q, 0 < skew: slope (1 - skew) q (m - p) / m
struct SkewedKlTerm {
  double skew;

  double largest_sum() const { return -std::log(skew); }
  template <class L>
  ClassTerm<L> operator()(const ClassPair<L>& c) const {
    using T = typename L::Scalar;
    const L zero(T(0));
    const L share(static_cast<T>(1 - skew));
    const L m = fma(share, c.q, L(static_cast<T>(skew)) * c.p);
    const L m_minus_p = share * c.q_minus_p;
    const L value = kl_term(c.p, m_minus_p, m_minus_p / c.p, zero - log(m / c.p));
    return {value, select(zero < m, share * c.q * (m_minus_p / m), zero)};
  }
};

/// KL(q || m), m = (1 - skew) p + skew q, 0 < skew: slope q (log(q / m) + skew (m - q) / m)
struct SkewedReverseKlTerm {
  double skew;

  double largest_sum() const { return -std::log(skew); }
  template <class L>
  ClassTerm<L> operator()(const ClassPair<L>& c) const {
    using T = typename L::Scalar;
    const L zero(T(0));
    const L share(static_cast<T>(1 - skew)), own(static_cast<T>(skew));
    const L m = fma(own, c.q, share * c.p);
    const L m_minus_q = zero - share * c.q_minus_p;
    const L x = m_minus_q / c.q;
    const auto is_near = absolute(x) < L(T(0.25));
    const L excess = log_excess(x);
    const L log_q_m = select(is_near, excess - x, zero - log(m / c.q));
    return {select(is_near, c.q * excess, masked_product(c.q, log_q_m) + m_minus_q),
            masked_product(c.q, log_q_m + own * (m_minus_q / m))};
  }
};

/// beta KL(p || m) + (1 - beta) KL(q || m), m = beta p + (1 - beta) q: slope (1 - beta) q log(q / m)
struct JensenShannonTerm {
  double beta;

  /// The entropy of (beta, 1 - beta), where p and q have no class in common.
  double largest_sum() const {
    return beta == 0 || beta == 1 ? 0 : -(beta * std::log(beta) + (1 - beta) * std::log(1 - beta));
  }
  template <class L>
  ClassTerm<L> operator()(const ClassPair<L>& c) const {
    using T = typename L::Scalar;
    const L zero(T(0));
    if (beta == 0 || beta == 1) return {zero * (c.p + c.q), zero};  // NaN stays NaN
    const L b(static_cast<T>(beta)), a(static_cast<T>(1 - beta));
    const L m = fma(b, c.p, a * c.q);
    const L m_minus_p = a * c.q_minus_p, m_minus_q = zero - b * c.q_minus_p;
    const auto student_is_larger = c.p < c.q;
    // one logarithm for both ratios: that of the larger probability with m, which is never far from 0
    const L log_larger = zero - log(m / select(student_is_larger, c.q, c.p));
    const L log_p_m = select(student_is_larger, log_larger + c.log_ratio, log_larger);
    const L far_log_q_m = select(student_is_larger, log_larger, log_larger - c.log_ratio);
    const L x = m_minus_q / c.q;
    const L excess = log_excess(x);
    const auto is_near = absolute(x) < L(T(0.25));
    const L log_q_m = select(is_near, excess - x, far_log_q_m);
    const L student_value = select(is_near, c.q * excess, masked_product(c.q, far_log_q_m) + m_minus_q);
    return {fma(b, kl_term(c.p, m_minus_p, m_minus_p / c.p, log_p_m), a * student_value),
            a * masked_product(c.q, log_q_m)};
  }
};

/// sum |p - q| / 2; where they are equal the slope is 0
struct TotalVariationTerm {
  static double largest_sum() { return 1; }
  template <class L>
  ClassTerm<L> operator()(const ClassPair<L>& c) const {
    using T = typename L::Scalar;
    return {L(T(0.5)) * absolute(c.q_minus_p), L(T(0.5)) * c.q * sign(c.q_minus_p)};
  }
};

/// (sum p^alpha q^(1-alpha) - 1) / (alpha (alpha - 1)): slope -q (e^(alpha d) - 1) / alpha with d = log p - log q.
/// As alpha goes to 1 it is KL(p || q), as it goes to 0 KL(q || p); neither is a special case here.
struct AlphaTerm {
  double alpha;

  double largest_sum() const { return 0 < alpha && alpha < 1 ? 1 / (alpha * (1 - alpha)) : no_largest_sum; }
  /// (e^(a d) - 1) / a, which is d for a = 0
  template <class L>
  static L power(double a, L d) {
    using T = typename L::Scalar;
    if (a == 0) return d;
    const L x = L(static_cast<T>(a)) * d;
    const auto is_near = absolute(x) < L(T(near_ratio));
    return select(is_near, exp_excess(x) + x, exp(x) - L(T(1))) * L(static_cast<T>(1 / a));
  }

  template <class L>
  ClassTerm<L> operator()(const ClassPair<L>& c) const {
    using T = typename L::Scalar;
    const L zero(T(0));
    // Uses the smaller of alpha and 1 - alpha: the function is the same with p and q swapped.
    const bool by_student = alpha <= 0.5;
    const double a = by_student ? alpha : 1 - alpha;
    const L w = by_student ? c.q : c.p;
    const L other_minus_w = by_student ? zero - c.q_minus_p : c.q_minus_p;
    const L x = by_student ? c.log_ratio : zero - c.log_ratio;
    const L scaled = L(static_cast<T>(a)) * x;
    const L near_excess = a == 0 ? zero : exp_excess(scaled) * L(static_cast<T>(1 / a));
    const auto is_near = larger(absolute(scaled), absolute(x)) < L(T(near_ratio));
    const L value = select(is_near, w * (near_excess - exp_excess(x)), masked_product(w, power(a, x)) - other_minus_w);
    return {value * L(static_cast<T>(1 / (a - 1))),
            finite_or_zero(zero - masked_product(c.q, power(alpha, c.log_ratio)))};
  }
};

/// KL between two Bernoulli distributions, given by the log-odds a of the teacher and b of the student; the slope is
/// with respect to b: q - p.
template <class L>
ClassTerm<L> binary_kl(L a, L b) {
  using T = typename L::Scalar;
  const L zero(T(0)), one(T(1));
  const L difference = a - b;
  const L u = select(a <= b, select(b <= a, zero, difference), difference);  // 0 also where both are infinite
  const auto probabilities = [&](L x, L& yes, L& no) {
    const L e = exp(zero - absolute(x));
    const L larger_one = one / (one + e), smaller_one = e * larger_one;
    yes = select(x < zero, smaller_one, larger_one);
    no = select(x < zero, larger_one, smaller_one);
  };
  L p, not_p, q, not_q;
  probabilities(a, p, not_p);
  probabilities(b, q, not_q);
  const auto is_near = absolute(u) < L(T(0.2));
  const L near_slope = zero - q * not_p * (exp_excess(u) + u);
  const L far_slope = select(zero < a + b, not_p - not_q, q - p);
  const L slope = select(is_near, near_slope, far_slope);
  const L near_value =
      masked_product(p, log_excess(slope / p)) + masked_product(not_p, log_excess((zero - slope) / not_p));
  const L far_value =
      masked_product(p, softplus(zero - b) - softplus(zero - a)) + masked_product(not_p, softplus(b) - softplus(a));
  const auto is_number = u <= u;
  return {select(is_number, select(is_near, near_value, far_value), u), select(is_number, slope, u)};
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
