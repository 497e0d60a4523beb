// Squared distance between two Gram matrices with rows at unit length. Needs Eigen.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <distill/core/version.hpp>
#include <distill/kernels/products/products.hpp>
#include <distill/kernels/rows/safe_sum.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

struct SimilarityRow {
  double loss, length;  // of the student's row
};

/// |x|^2 = sum_j w_j x_j^2
template <class L, class C>
total_t<L> weighted_squares(const C* x, const C* weights, std::size_t n) {
  return sum_row<L>(n, [&](std::size_t j) {
    const L element = load_up_to<L>(x + j, n - j, 0);
    return (weights ? load_up_to<L>(weights + j, n - j, 0) : L(typename L::Scalar(1))) * element * element;
  });
}

/// As similarity_row, with the squares of the rows' lengths.
template <class L, class C>
SimilarityRow similarity_row_of(total_t<L> s_squares, total_t<L> t_squares, C* s, const C* t, std::size_t n,
                                const C* weights, double factor, bool wants_gradient) {
  using N = typename L::Scalar;
  const auto at = [n](const C* x, std::size_t j) { return load_up_to<L>(x + j, n - j, 0); };
  const auto weight = [&](std::size_t j) { return weights ? at(weights, j) : L(N(1)); };
  const auto inverse_root = [](auto squares) { return squares == 0 ? 0 : 1 / std::sqrt(squares); };
  const auto inverse = inverse_root(s_squares);
  const L a(static_cast<N>(inverse)), b(static_cast<N>(inverse_root(t_squares)));
  const auto difference = [&](std::size_t j) { return difference_of_products(a, at(s, j), b, at(t, j)); };
  const auto sum = sum_row<L>(n, [&](std::size_t j) { return weight(j) * difference(j) * difference(j); });
  // of opposite rows it is 4 but for rounding; NaN stays
  const SimilarityRow result{(std::min)(static_cast<double>(sum), 4.0), static_cast<double>(std::sqrt(s_squares))};
  if (!wants_gradient) return result;
  const L along(static_cast<N>(sum_row<L>(n, [&](std::size_t j) { return weight(j) * difference(j) * a * at(s, j); })));
  const L scale(static_cast<N>(2 * static_cast<total_t<L>>(factor) * inverse));
  for (std::size_t j = 0; j < n; j += L::width) {
    store_up_to(scale * weight(j) * (difference(j) - a * at(s, j) * along), s + j, n - j);
  }
  return result;
}

/// sum_j w_j (s_j / |s| - t_j / |t|)^2 with |s|^2 = sum_j w_j s_j^2; without weights they are 1. A row of norm 0 stays
/// 0, and a single number has no loss. With `wants_gradient` s becomes the gradient with respect to s, times factor.
template <class L>
SimilarityRow similarity_row(typename L::Scalar* s, const typename L::Scalar* t, std::size_t n,
                             const typename L::Scalar* weights, double factor, bool wants_gradient) {
  if (n == 1) {  // s / |s| is 1, but for rounding; NaN stays
    const double loss = 0 * static_cast<double>(*s + *t), length = std::abs(static_cast<double>(*s));
    if (wants_gradient) *s = static_cast<typename L::Scalar>(loss);
    return {loss, length};
  }
  const auto run = [&](auto lanes, auto s_squares, auto t_squares) {
    return similarity_row_of<decltype(lanes)>(s_squares, t_squares, s, t, n, weights, factor, wants_gradient);
  };
  const auto s_squares = weighted_squares<L>(s, weights, n), t_squares = weighted_squares<L>(t, weights, n);
  if (is_safe_sum<L>(s_squares) && is_safe_sum<L>(t_squares)) return run(L{}, s_squares, t_squares);
  const AllExceptionsHeld held;
  using W = Wide<L>;
  return run(W{}, weighted_squares<W>(s, weights, n), weighted_squares<W>(t, weights, n));
}

/// For the rows' gradients M, in place: M + its transpose, the factor in the gradient of the samples. A row of norm 0
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
