// One row of cross entropy with a hard label, smoothed or not.
//
//   sum    sums the exponentials of all classes but the label, and keeps them
//   terms  for smoothing alone: sums the differences of scores from the label's
//   write  writes the gradient
//
// All take parts of the row.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <distill/core/gradient.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/exact_row.hpp>
#include <distill/kernels/rows/exp_sweep.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/row_parts.hpp>
#include <distill/kernels/rows/row_sums.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>
#include <distill/kernels/simd/two_parts.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// (1 - smoothing) * -log q_label + smoothing * mean(-log q).
template <class L, class Stored>
class CrossEntropyRow {
  using T = typename L::Scalar;

 public:
  using Sums = LabelSums;

  CrossEntropyRow(const Stored* x, std::size_t n, std::size_t label, double smoothing = 0)
      : x_(x), n_(n), label_(label), smoothing_(smoothing), share_(smoothing / static_cast<double>(n)) {}

  std::size_t size() const { return n_; }
  bool is_ordinary() const { return n_ > 1; }

  void keep_in(detail::ScratchFrame& frame, const Stored* grad) {
    KeptRow<L> kept[1];
    fetched_grad_ = grad;
    if (grad) take_kept_rows(frame, kept, n_);
    kept_ = kept[0];
  }

  LabelSums sum(Range part) const {
    KeptRow<L> kept = kept_;
    const bool is_here = label_ - part.begin < part.end - part.begin;
    return {sum_exponentials<L>(x_, part, 1, label_, kept.values ? &kept : nullptr, fetched_grad_),
            is_here ? detail::load_scalar<double>(x_ + label_) : -infinity<double>};
  }

  bool accept(const LabelSums& sums) {
    if (!sums.is_ordinary()) return false;
    logit_ = static_cast<T>(sums.logit);
    hard_ = HardLabel(sums);
    value_ = hard_.loss;
    return true;
  }

  bool has_terms() const { return smoothing_ > 0; }

  TermSums terms(Range part) const {
    const Stored* const x = x_ + part.begin;
    const std::size_t n = part.end - part.begin;
    const T own = logit_;
    return {sum_row<L>(n, [&](std::size_t i) { return load_up_to<L>(x + i, n - i, own) - L(own); }), 0};
  }

  /// The other classes' -log q_i is the label's + x_label - x_i.
  bool accept(const TermSums& terms) {
    value_ = hard_.loss - share_ * terms.value;
    return std::isfinite(value_);
  }

  TermSums write(Range part, double scale, const GradientRow<Stored>& gradient) const {
    const GradientRow<Stored> grad = gradient;  // a copy, as stores might change it in the compiler's eyes
    if (!grad) return {};
    raise_kept(kept_, x_, part, 1, label_, hard_.all.offset);
    const L uniform(static_cast<T>(scale * share_));
    const double at_label = scale * (hard_.probability_m1 + smoothing_ - share_);
    const KeptRow<L> kept = kept_;
    const std::size_t n = part.end, label = label_;
    for (std::size_t begin = part.begin; begin < n; begin += chunk_size<L>) {
      const Normaliser<L> normalise = hard_.all.template normaliser<L>(scale, kept.offsets[begin / chunk_size<L>]);
      for (std::size_t i = begin; i < (std::min)(n, begin + chunk_size<L>); i += L::width) {
        const L element = normalise(load<L>(kept.values + i)) - uniform;
        put(with_label(element, i, label, at_label), grad, i, n);
      }
    }
    return {};
  }

  double value(const TermSums& = {}) const { return value_; }

  /// Of any row, by the plain formulas.
  double exact(double scale, const GradientRow<Stored>& grad) const {
    const ExactSoftmax<Stored> q(x_, n_, 1);
    const auto smooth = static_cast<long double>(smoothing_);
    const long double share = smooth / static_cast<long double>(n_);
    long double loss = 0;
    if (smoothing_ < 1) loss -= (1 - smooth) * q.log_probability(label_);
    if (smoothing_ > 0) {
      for (std::size_t i = 0; i < n_; ++i) loss -= share * q.log_probability(i);
    }
    // each element is read before it is written: grad may be the student's memory
    for (std::size_t i = 0; grad && i < n_; ++i) {
      const long double log_q = q.log_probability(i);
      const long double element = i == label_ ? std::expm1(log_q) + smooth : std::exp(log_q);
      put(Lanes<T, ScalarArch>(static_cast<T>(static_cast<long double>(scale) * (element - share))), grad, i, i + 1);
    }
    return static_cast<double>(loss);
  }

 private:
  const Stored* x_;
  std::size_t n_, label_;
  double smoothing_, share_;
  const Stored* fetched_grad_ = nullptr;
  KeptRow<L> kept_;
  T logit_ = 0;
  HardLabel hard_;
  double value_ = 0;
};

/// -log q_label.
template <class L, class Stored>
double cross_entropy_row(const Stored* x, std::size_t n, std::size_t label) {
  return whole_row(CrossEntropyRow<L, Stored>(x, n, label), 1, GradientRow<Stored>{});
}

/// The same where the gradient's factor, slope(-log q_label), is only known with the loss, which is returned.
template <class L, class Stored, class Slope>
double cross_entropy_row(const Stored* x, std::size_t n, std::size_t label, const GradientRow<Stored>& grad,
                         const Slope& slope) {
  return whole_row_by(CrossEntropyRow<L, Stored>(x, n, label), grad,
                      [&](const auto& row, bool accepted) { return slope(accepted ? row.value() : row.exact(1, {})); });
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
