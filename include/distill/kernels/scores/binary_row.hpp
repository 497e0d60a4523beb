// One row of binary classes: KL between teacher and student, class by class.
#pragma once

#include <algorithm>
#include <cstddef>

#include <distill/core/gradient.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/exp_sweep.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// binary_row() in lanes that have numbers for the quotients.
template <class L, class S, class T>
total_t<L> binary_row_in(const S* student, const T* teacher, std::size_t n, double temperature, double factor,
                         const GradientRow<S>& grad) {
  using C = typename L::Scalar;
  // a division, so that no temperature makes a logit 0 * infinity
  const L divisor(static_cast<C>(temperature)),
      scale(static_cast<C>(static_cast<total_t<L>>(factor) / static_cast<total_t<L>>(temperature)));
  return sum_row<L>(n, [&](std::size_t i) {
    const L a = load_up_to<L>(teacher + i, n - i, -infinity<C>) / divisor;
    const L b = load_up_to<L>(student + i, n - i, -infinity<C>) / divisor;
    const ClassTerm<L> term = binary_kl(a, b);
    if (grad) put(term.slope * scale, grad, i, n);
    return term.value;
  });
}

/// Returns the sum over classes; writes or adds `factor` times its gradient to grad, unless that is null.
template <class L, class S, class T>
double binary_row(const S* student, const T* teacher, std::size_t n, double temperature, double factor,
                  const GradientRow<S>& grad) {
  if (is_ordinary_temperature(temperature)) {
    return binary_row_in<L>(student, teacher, n, temperature, factor, grad);
  }
  const AllExceptionsHeld held;
  return static_cast<double>(
      binary_row_in<Lanes<long double, ScalarArch>>(student, teacher, n, temperature, factor, grad));
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
