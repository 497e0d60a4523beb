// Distances between a batch's rows, from their products. Needs Eigen.
#pragma once

#include <cmath>
#include <cstddef>

#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/products/batch.hpp>
#include <distill/kernels/products/gram.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// |x_scale x - y_scale y|^2 from the rows: exact where they are near, 0 where they are equal.
template <class T>
double squared_distance(const T* x, double x_scale, const T* y, double y_scale, std::size_t n) {
  double sum = 0;
  for (std::size_t j = 0; j < n; ++j) {
    const double at_x = detail::load_scalar<double>(x + j), at_y = detail::load_scalar<double>(y + j);
    const double d = difference_of_products(x_scale, at_x, y_scale, at_y);
    sum += d * d;
  }
  return sum;
}

/// What |x - y|^2 of unit rows may be by rounding, of their lengths above all: below it they have one direction.
inline constexpr double rounding_of_unit_rows = 1e-30;

/// out += c (x_scale x - y_scale y)
template <class C, class T>
void add_difference(double c, const T* x, double x_scale, const T* y, double y_scale, std::size_t n, C* out) {
  for (std::size_t j = 0; j < n; ++j) {
    const double at_x = detail::load_scalar<double>(x + j), at_y = detail::load_scalar<double>(y + j);
    const double d = difference_of_products(x_scale, at_x, y_scale, at_y);
    out[j] = static_cast<C>(static_cast<double>(out[j]) + c * d);
  }
}

/// Turns products into distances, row by row. |x|^2 + |y|^2 - 2 x . y loses digits where x and y are close, so below a
/// hundredth of |x|^2 + |y|^2 the distance is computed from the rows. It is stored as a negative number, because its
/// gradient must also be taken from the rows. `norms` [size] receives |x|^2, and `row_sums` [size], if there are any,
/// the rows' weighted sums of distances.
template <class L, class T>
void products_to_distances(const Batch<typename L::Scalar>& batch, const BatchRows<T>& rows, bool squared,
                           typename L::Scalar* norms, double* row_sums, typename L::Scalar* square) {
  using C = typename L::Scalar;
  const std::size_t n = batch.size;
  for (std::size_t i = 0; i < n; ++i) {
    norms[i] = rows.inverse_lengths ? C(rows.inverse_lengths[i] == 0 ? 0 : 1) : square[i * n + i];
  }
  const auto from_rows = [&](std::size_t i, std::size_t j) {
    const auto scale = [&](std::size_t k) { return rows.inverse_lengths ? rows.inverse_lengths[k] : 1; };
    const double d2 = squared_distance(rows.matrix.row(batch.index[i]), scale(i), rows.matrix.row(batch.index[j]),
                                       scale(j), rows.matrix.cols);
    return rows.inverse_lengths && d2 <= rounding_of_unit_rows ? 0 : d2;
  };
  batch.for_each([&](std::size_t i) {
    C* const row = square + i * n;
    const double sum = sum_row<L>(n, [&](std::size_t j) {
      const std::size_t count = n - j;
      const L both = L(norms[i]) + load_up_to<L>(norms + j, count, 1);
      const L d2 = both - L(C(2)) * load_up_to<L>(row + j, count, 0), limit = L(C(0.01)) * both;
      L d = squared ? d2 : square_root(d2);
      store_up_to(d, row + j, count);
      if (any_lane(d2 <= limit)) {  // "<=": both may be 0
        alignas(64) C values[L::width], exact[L::width];
        store(limit - d2, values);
        store(d, exact);
        for (std::size_t k = 0; k < L::width && k < count; ++k) {
          if (!(values[k] >= 0)) continue;
          const double own = i == j + k ? 0 * static_cast<double>(values[k]) : from_rows(i, j + k);
          exact[k] = static_cast<C>(squared ? own : std::sqrt(own));
          row[j + k] = -exact[k];
        }
        d = load<L>(exact);
      }
      return load_up_to<L>(batch.lane_weights + j, count, 0) * d;
    });
    if (row_sums) row_sums[i] = sum;
  });
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
