// A loss times a factor. One of factor 0 is absent, even where it is infinite: 0 times infinity is never formed.
#pragma once

#include <cmath>

#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Of a term of a row: NaN stays, as it does in the gradient.
inline double times(double factor, double loss) {
  return factor == 0 && !std::isnan(loss) ? 0 : factor * loss;
}

/// Of a call, which is 0 whatever its rows hold if its factor is. NaN raises FE_INVALID, however it came about: that
/// is why people trap it.
inline double weighted_loss(double factor, double loss) {
  if (factor == 0) return 0;
  if (std::isnan(loss)) std::feraiseexcept(FE_INVALID);
  return factor * loss;
}

/// Whether a loss of this weight needs no row: its value and its gradient are 0.
inline bool is_off(double weight, const RowOptions& options) {
  return weight == 0 && !options.losses;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
