// One row of cross entropy with a hard label, smoothed or not.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/exact_row.hpp>
#include <distill/kernels/rows/exp_stream.hpp>
#include <distill/kernels/scores/backward_row.hpp>
#include <distill/kernels/scores/hard_label.hpp>
#include <distill/kernels/simd/two_parts.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// The plain formulas.
template <class L, class Stored>
double exact_cross_entropy_row(const Stored* x, std::size_t n, std::size_t label, double smoothing, double scale,
                               Stored* grad, bool accumulate) {
  using T = typename L::Scalar;
  const ExactSoftmax<Stored> q(x, n, 1);
  const auto smooth = static_cast<long double>(smoothing);
  const long double share = smooth / static_cast<long double>(n);
  long double loss = 0;
  if (smoothing < 1) loss -= (1 - smooth) * q.log_probability(label);
  if (smoothing > 0) {
    for (std::size_t i = 0; i < n; ++i) loss -= share * q.log_probability(i);
  }
  if (grad) {
    // every element is computed before any is written: grad may be the student's memory
    detail::ScratchFrame frame;
    T* const row = frame.take<T>(n);
    for (std::size_t i = 0; i < n; ++i) {
      const long double log_q = q.log_probability(i);
      const long double element = i == label ? std::expm1(log_q) + smooth : std::exp(log_q);
      row[i] = static_cast<T>(static_cast<long double>(scale) * (element - share));
    }
    put_row<L>(row, n, grad, accumulate);
  }
  return static_cast<double>(loss);
}

/// (1 - smoothing) * -log q_label + smoothing * mean(-log q); the gradient times `scale` goes to `grad` if not null.
template <class L, class Stored>
double cross_entropy_row(const Stored* x, std::size_t n, std::size_t label, double smoothing, double scale,
                         Stored* grad, bool accumulate) {
  using T = typename L::Scalar;
  const T own = detail::load_scalar<T>(x + label);
  detail::ScratchFrame frame;
  KeptRow<L> kept[1];
  if (grad) take_kept_rows(frame, kept, n);
  ExpStream<L> others(1);
  if (n == 1 || !std::isfinite(own) || !sum_exponentials(others, x, n, label, grad ? kept : nullptr, grad)) {
    return exact_cross_entropy_row<L>(x, n, label, smoothing, scale, grad, accumulate);
  }
  const HardLabel hard(others, static_cast<double>(own));
  double loss = hard.loss;
  const double share = smoothing / static_cast<double>(n);
  if (smoothing > 0) {
    // the other classes' -log q_i is the label's + x_label - x_i
    loss -= share * sum_row<L>(n, [&](std::size_t i) { return load_up_to<L>(x + i, n - i, own) - L(own); });
    if (!std::isfinite(loss)) {
      return exact_cross_entropy_row<L>(x, n, label, smoothing, scale, grad, accumulate);
    }
  }
  if (grad) {
    others.sum = hard.total;
    const L uniform(static_cast<T>(scale * share));
    const double at_label = scale * (hard.probability_m1 + smoothing - share);
    for (std::size_t begin = 0, chunk = 0; begin < n; begin += chunk_size<L>, ++chunk) {
      const Normaliser<L> normalise = others.normaliser(scale, kept[0].offsets[chunk]);
      for (std::size_t i = begin; i < (std::min)(n, begin + chunk_size<L>); i += L::width) {
        const L element = normalise(load<L>(kept[0].values + i)) - uniform;
        put(with_label(element, i, label, at_label), grad + i, n - i, accumulate);
      }
    }
  }
  return loss;
}

/// -log q_label alone.
template <class L, class Stored>
double cross_entropy_row(const Stored* x, std::size_t n, std::size_t label) {
  return cross_entropy_row<L, Stored>(x, n, label, 0, 1, nullptr, false);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
