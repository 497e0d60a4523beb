// Squared distance of two Gram matrices whose rows have unit length. Needs Eigen.
#pragma once

#include <cmath>
#include <cstddef>

#include <distill/core/version.hpp>
#include <distill/kernels/lanes.hpp>
#include <distill/kernels/memory.hpp>
#include <distill/kernels/products.hpp>
#include <distill/kernels/sum_row.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

struct SimilarityRow {
  double loss, length;  // of the student's row
};

/// sum_j w_j (s_j / |s| - t_j / |t|)^2 with |s|^2 = sum_j w_j s_j^2; without weights they are 1. A row of length 0 stays
/// 0. With `wants_gradient` s becomes the gradient with respect to s, times factor.
template <class L>
SimilarityRow similarity_row(typename L::Scalar* s, const typename L::Scalar* t, std::size_t n,
                             const typename L::Scalar* weights, double factor, bool wants_gradient) {
  using C = typename L::Scalar;
  const auto at = [n](const C* x, std::size_t j) { return load_up_to<L>(x + j, n - j, 0); };
  const auto weight = [&](std::size_t j) { return weights ? at(weights, j) : L(C(1)); };
  const auto length_of = [&](const C* x) {
    return std::sqrt(sum_row<L>(n, [&](std::size_t j) { return weight(j) * at(x, j) * at(x, j); }));
  };
  const auto inverse_of = [](double length) { return length == 0 ? 0 : 1 / length; };
  const double length = length_of(s), inverse = inverse_of(length);
  const L a(static_cast<C>(inverse)), b(static_cast<C>(inverse_of(length_of(t))));
  const auto difference = [&](std::size_t j) { return a * at(s, j) - b * at(t, j); };
  const double loss = sum_row<L>(n, [&](std::size_t j) { return weight(j) * difference(j) * difference(j); });
  if (!wants_gradient) return {loss, length};
  const L along(static_cast<C>(sum_row<L>(n, [&](std::size_t j) { return weight(j) * difference(j) * a * at(s, j); })));
  const L scale(static_cast<C>(2 * factor * inverse));
  for (std::size_t j = 0; j < n; j += L::width) {
    store_up_to(scale * weight(j) * (difference(j) - a * at(s, j) * along), s + j, n - j);
  }
  return {loss, length};
}

/// Of the rows' gradients M: M + its transpose, which the rows' gradient is a product with, in place. A row of length 0
/// has no gradient, though others have one with respect to their product with it.
template <class C>
void add_similarity_gradients(C* m, const double* lengths, std::size_t n) {
  for (std::size_t k = 0; k < n; ++k) {
    for (std::size_t i = 0; lengths[k] == 0 && i < n; ++i) m[i * n + k] = 0;
  }
  add_transpose(m, n);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
