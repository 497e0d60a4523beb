// One row of softmax, and the entropy of one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/exact_row.hpp>
#include <distill/kernels/rows/exp_sweep.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/row_parts.hpp>
#include <distill/kernels/rows/row_sums.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/exp2.hpp>
#include <distill/kernels/simd/log.hpp>
#include <distill/kernels/simd/two_parts.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// out = softmax(x / temperature); out may be x.
template <class L, class Stored, class Out>
void softmax_row(const Stored* x, std::size_t n, double temperature, Out* out) {
  using T = typename L::Scalar;
  detail::ScratchFrame frame;
  KeptRow<L> kept[1];
  take_kept_rows(frame, kept, n);
  ExpSum sum;
  if (n > 1 && is_ordinary_temperature(temperature)) {
    sum = join_parts(n, [&](Range part) { return sum_exponentials<L>(x, part, temperature, none, kept, out); });
  }
  if (sum.is_ordinary()) {
    const KeptRow<L> powers = kept[0];  // a copy, as stores might change it in the compiler's eyes
    for (std::size_t k = 0; k < part_count(n); ++k)
      raise_kept(powers, x, part_of_row(n, k), temperature, none, sum.offset);
    for (std::size_t begin = 0, chunk = 0; begin < n; begin += chunk_size<L>, ++chunk) {
      const Normaliser<L> normalise = sum.normaliser<L>(1, powers.offsets[chunk]);
      for (std::size_t i = begin; i < (std::min)(n, begin + chunk_size<L>); i += L::width) {
        store_up_to(normalise(load<L>(powers.values + i)), out + i, n - i);
      }
    }
    return;
  }
  const ExactSoftmax<Stored> exact(x, n, temperature);
  for (std::size_t i = 0; i < n; ++i) kept[0].values[i] = static_cast<T>(std::exp(exact.log_probability(i)));
  for (std::size_t i = 0; i < n; ++i) detail::store_scalar(out + i, kept[0].values[i]);
}

/// The entropy -sum p ln p of p = softmax(x / temperature), at the cost of two sweeps.
template <class L, class Stored>
double entropy_row(const Stored* x, std::size_t n, double temperature) {
  using T = typename L::Scalar;
  ExpSum all;
  if (n > 1 && is_ordinary_temperature(temperature)) {
    all = join_parts(n, [&](Range part) { return sum_exponentials<L>(x, part, temperature, none, nullptr); });
  }
  if (all.is_ordinary()) {
    ExpScale<L> scale(log2_e / temperature);
    scale.set_offset(all.offset);
    // log2 of the sum as an integer and a rest, so that -log p keeps its digits where p is nearly 1
    const double log2_sum = scalar_log(all.sum) * log2_e, whole = std::nearbyint(log2_sum);
    const L zero(T(0)), offset(static_cast<T>(all.offset + whole)), rest(static_cast<T>(log2_sum - whole));
    const double sum = sum_row<L>(n, [&](std::size_t i) {
      const Exponent<L> e = exponent(load_up_to<L>(x + i, n - i, -infinity<T>), scale);
      const L power = exp2(e);
      return select(zero < power, power * ((offset - e.whole) + (rest - e.fraction)), zero);
    });
    return (std::max)(0.0, ln_2 * sum / all.sum);
  }
  const ExactSoftmax<Stored> p(x, n, temperature);
  long double sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const long double log_p = p.log_probability(i);
    const long double probability = std::exp(log_p);
    if (!(probability == 0)) sum -= probability * log_p;
  }
  return static_cast<double>(sum);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
