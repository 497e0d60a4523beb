// The cross entropy of one row with one class, from the sum of the other classes' exponentials.
#pragma once

#include <cstddef>

#include <distill/core/version.hpp>
#include <distill/kernels/rows/exp_stream.hpp>
#include <distill/kernels/simd/exp2.hpp>
#include <distill/kernels/simd/log.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// What cross entropy needs of the labelled class. Leaving that class out of the sum keeps a loss near 0 exact:
/// -log q = log(1 + others / own), where log(sum) - x would be the difference of two nearly equal numbers.
struct HardLabel {
  double loss;            // -log q_label
  double probability_m1;  // q_label - 1
  double total;           // sum of all exponentials, at the stream's offset

  template <class L>
  HardLabel(const ExpStream<L>& others, double logit) {
    const double exponent = exact_exponent(logit, log2_e, others.offset);
    const double own = scalar_exp2(exponent);
    total = others.sum + own;
    probability_m1 = -others.sum / total;
    loss = own > others.sum * 1e-250 ? scalar_log1p(others.sum / own) : scalar_log(total) - exponent * ln_2;
  }
};

/// `value` for every lane but the labelled one, if that is among the lanes from element i on.
template <class T, class Arch>
Lanes<T, Arch> with_label(Lanes<T, Arch> value, std::size_t i, std::size_t label, double at_label) {
  return label - i < Lanes<T, Arch>::width ? with_lane(value, label - i, static_cast<T>(at_label)) : value;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
