// A class's terms of KL(teacher || student), and how a row's terms are combined: for distillation_row.hpp and
// short_rows.hpp.
#pragma once

#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/weighted.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/two_parts.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Above this temperature the factor T^2 would amplify the rounding of Precision::standard too much.
inline bool needs_high_precision(Precision precision, double temperature) {
  return precision == Precision::high || temperature > 32;
}

/// A row contributes soft * KL + hard * CE; the gradient has the same factors.
struct RowFactors {
  double soft;
  double hard = 0;
};

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

/// A row's loss.
inline double weighted(const RowFactors& factors, double kl, double ce) {
  return times(factors.soft, kl) + times(factors.hard, ce);
}

/// d = log p - log q from t - s and the rounding error of that, so that nearly equal logits keep their digits. `shift` is
/// temperature times the difference of the sums' logarithms.
template <class L>
struct LogRatio {
  TwoParts<L> shift;
  L inverse_temperature;

  L operator()(L s, L t) const {
    using T = typename L::Scalar;
    const L u = t - s, v = u - t, error = (t - (u - v)) - (s + v);
    const L u_error = select(u < L(infinity<T>), error, L(T(0)));  // -infinity masks a class of the student's
    return ((u - shift.high) + (u_error - shift.low)) * inverse_temperature;
  }
};

/// A class's share of the KL divergence that is never negative, p (exp(-d) - 1 + d), and q - p; from p, q and d.
template <class L>
struct NonnegativeTerm {
  L value, q_minus_p;

  NonnegativeTerm(L p, L q, L d) {
    using T = typename L::Scalar;
    // where p is 0, d may be infinite or NaN; any d that is not small then gives q
    const L ratio = select(p <= L(T(0)), L(T(3)), d), squared = ratio * ratio, difference = q - p;
    const L bregman = squared * bregman_quotient(ratio);
    value = select(squared < L(T(4)), p * bregman, fma(p, ratio, difference));
    q_minus_p = select(squared < L(T(0.25)), p * (bregman - ratio), difference);
  }
};

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
