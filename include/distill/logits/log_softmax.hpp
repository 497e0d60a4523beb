// log_softmax with a temperature, and its vector-Jacobian product.
#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/exp_sweep.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/row_sums.hpp>
#include <distill/kernels/simd/exp2.hpp>
#include <distill/kernels/simd/log.hpp>
#include <distill/kernels/simd/two_parts.hpp>
#include <distill/logits/softmax.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// The index of the first largest number in a row, 0 if there is none.
template <class L, class Stored>
std::size_t argmax(const Stored* x, std::size_t n) {
  using T = typename L::Scalar;
  L largest(-infinity<T>);
  for (std::size_t i = 0; i < n; i += L::width) largest = larger(largest, load_up_to<L>(x + i, n - i, -infinity<T>));
  const L maximum(reduce_max_number(largest));
  for (std::size_t i = 0; i < n; i += L::width) {
    if (!any_lane(maximum <= load_up_to<L>(x + i, n - i, -infinity<T>))) continue;
    for (std::size_t k = i; k < (std::min)(n, i + L::width); ++k) {
      if (detail::load_scalar<T>(x + k) >= reduce_max_number(maximum)) return k;
    }
  }
  return 0;
}

/// log p_i = x_i / T - log(sum of exponentials), for rows of float in which no class has much of the mass: elsewhere
/// the difference would lose digits. For other rows it returns false and writes nothing.
template <class L, class Stored, class Out>
bool log_softmax_of_even_row(const Stored* x, std::size_t n, double temperature, Out* out) {
  using T = typename L::Scalar;
  // the parts below leave no rounding error except that of float, and only with FMA
  if (!std::is_same_v<T, float> || !has_fma<typename L::Arch> || n < 4 * L::width) return false;
  ExpSweep<L> sweep(temperature);
  const ExpSum sum = sum_exponentials(sweep, x, {0, n}, none, static_cast<KeptRow<L>*>(nullptr), out);
  if (!sum.is_ordinary()) return false;
  // No class has more than its lane. Above 1/e the logarithm is below 1, and the sum's error is twice as many ULP.
  if (any_lane(L(static_cast<T>(0.36 * sum.sum)) < sweep.lanes.sum)) return false;
  const TwoParts<L> factor(1 / temperature), minus_log_sum(-sum.log());
  const L masked(-infinity<T>);
  for (std::size_t i = 0; i < n; i += L::width) {
    const L value = load_up_to<L>(x + i, n - i, -infinity<T>);
    const L high = fma(value, factor.high, minus_log_sum.high), low = fma(value, factor.low, minus_log_sum.low);
    store_up_to(select(high <= masked, high, high + low), out + i, n - i);
  }
  return true;
}

/// out = log(softmax(x / temperature)); out may be x. The largest class is left out of the sum of exponentials: log
/// p_max = -log(1 + others / own) keeps its digits where p_max is nearly 1, and log p_i = (x_i - max) / T + log p_max
/// adds numbers of the same sign.
template <class L, class Stored, class Out>
void log_softmax_row(const Stored* x, std::size_t n, double temperature, Out* out) {
  using T = typename L::Scalar;
  if (is_ordinary_temperature(temperature) && log_softmax_of_even_row<L>(x, n, temperature, out)) return;
  const std::size_t top = argmax<L>(x, n);
  const T maximum = detail::load_scalar<T>(x + top);
  ExpSum others;
  if (n > 1 && std::isfinite(maximum) && is_ordinary_temperature(temperature)) {
    others = sum_exponentials<L>(x, {0, n}, temperature, top, nullptr, out);
  }
  if (others.is_ordinary()) {
    const double own = exact_exponent(static_cast<double>(maximum), log2_e / temperature, others.offset);
    const L top_log(static_cast<T>(-scalar_log1p(others.sum * scalar_exp2(-own))));
    // on halves, so that the difference of two huge numbers does not overflow before it is divided
    const L factor(static_cast<T>(2 / temperature));
    const L half(T(0.5)), half_maximum(maximum * T(0.5));
    for (std::size_t i = 0; i < n; i += L::width) {
      const L value = load_up_to<L>(x + i, n - i, -infinity<T>);
      store_up_to(fma(fms(value, half, half_maximum), factor, top_log), out + i, n - i);
    }
    return;
  }
  detail::ScratchFrame frame;
  T* const row = frame.take<T>(n);
  const ExactSoftmax<Stored> exact(x, n, temperature);
  for (std::size_t i = 0; i < n; ++i) row[i] = static_cast<T>(exact.log_probability(i));
  for (std::size_t i = 0; i < n; ++i) detail::store_scalar(out + i, row[i]);
}

}  // namespace kernels

/// Logarithm of the softmax of each row at a temperature.
///
/// Formula     out_ij = logits_ij / T - log sum_k exp(logits_ik / T)
/// Shapes      logits, out: rows x cols, float, double, half or bfloat16, independently; out may be exactly logits'
///             memory
/// Ranges      temperature > 0 and finite; out in [-infinity, 0]. -infinity gives -infinity. A row with NaN or
///             +infinity, or with nothing but -infinity, gives NaN
/// Throws      std::invalid_argument on shapes that differ, 0 columns, null, a stride below cols, overlap, a
///             temperature out of range; before anything is written
/// Accuracy    float: <= 4 ULP in both precisions, also for classes whose probability is nearly 1
/// Cost        two sweeps over logits; up to five where a class may have a third of the mass; up to four in double,
///             without FMA and in rows shorter than four vectors. One write of out; no scratch
template <class Logits, class Out>
void log_softmax(const Logits& logits, Out&& out, double temperature = 1, const SoftmaxOptions& options = {}) {
  detail::softmax_rows("log_softmax", as_matrix(logits), as_matrix(out), temperature, options,
                       [](auto lanes, auto... row) { kernels::log_softmax_row<decltype(lanes)>(row...); });
}

/// The vector-Jacobian product of log_softmax: from d loss / d output to d loss / d logits.
///
/// Formula     grad_logits_ij = (g_ij - exp(output_ij) sum_k g_ik) / T, with g = grad_output
/// Shapes      all rows x cols, float, double, half or bfloat16, independently; grad_logits is overwritten, or with
///             add_to(grad_logits) added to, and may be exactly the memory of output or of grad_output
/// Throws      as log_softmax
/// Cost        two sweeps over grad_output, one over output, one write; no scratch
template <class Output, class GradOutput, class GradLogits>
void log_softmax_backward(const Output& output, const GradOutput& grad_output, GradLogits&& grad_logits,
                          double temperature = 1, const SoftmaxOptions& options = {}) {
  detail::backward("log_softmax_backward", as_matrix(output), as_matrix(grad_output), grad_logits, temperature,
                   options.executor,
                   [](auto lanes, auto... row) { kernels::log_softmax_backward_row<decltype(lanes)>(row...); });
}

}  // namespace DISTILL_ABI
}  // namespace distill
