// Distances between a batch's rows, from their products. Needs Eigen.
#pragma once

#include <cmath>
#include <cstddef>

#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/batch.hpp>
#include <distill/kernels/gram.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// |x - y|^2 from the rows: exact where they are near, 0 where they are equal.
template <class T>
double squared_distance(const T* x, double x_scale, const T* y, double y_scale, std::size_t n) {
  double sum = 0;
  for (std::size_t j = 0; j < n; ++j) {
    const double d = x_scale * detail::load_scalar<double>(x + j) - y_scale * detail::load_scalar<double>(y + j);
    sum += d * d;
  }
  return sum;
}

/// Turns products into distances, row by row. |x|^2 + |y|^2 - 2 x . y loses its digits where x and y are near, so what
/// is below a hundredth of |x|^2 + |y|^2 is computed from the rows; such a distance is stored as a negative number,
/// because its gradient has to be taken from the rows, too. `norms` [size] receives |x|^2.
template <class C, class T>
void products_to_distances(const Batch<C>& batch, const BatchRows<T>& rows, bool squared, double* norms, C* square) {
  const std::size_t n = batch.size;
  for (std::size_t i = 0; i < n; ++i) {
    norms[i] = rows.inverse_lengths ? (rows.inverse_lengths[i] == 0 ? 0 : 1) : static_cast<double>(square[i * n + i]);
  }
  const auto scale = [&](std::size_t i) { return rows.inverse_lengths ? rows.inverse_lengths[i] : 1; };
  batch.for_each([&](std::size_t i) {
    C* const row = square + i * n;
    for (std::size_t j = 0; j < n; ++j) {
      const double both = norms[i] + norms[j];
      double d2 = both - 2 * static_cast<double>(row[j]);
      double sign = 1;
      if (d2 < 0.01 * both || both == 0) {
        d2 = i == j ? 0 * both
                    : squared_distance(rows.matrix.row(batch.index[i]), scale(i), rows.matrix.row(batch.index[j]),
                                       scale(j), rows.matrix.cols);
        sign = -1;
      }
      row[j] = static_cast<C>(sign * (squared ? d2 : std::sqrt(d2)));
    }
  });
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
