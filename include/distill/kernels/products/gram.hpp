// Products of a batch's rows with one another, panel by panel of columns, and gradients from them. Needs Eigen.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/gradient.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/products/batch.hpp>
#include <distill/kernels/products/products.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/rows/safe_sum.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// How a batch's rows enter the products.
template <class T>
struct BatchRows {
  MatrixView<T> matrix;
  const double* inverse_lengths = nullptr;  // [size]: rows at unit length
  bool centred = false;                     // minus the rows' weighted mean
};
template <class T>
BatchRows(MatrixView<T>, const double* = nullptr, bool = false) -> BatchRows<T>;

/// The sum of squares, to a few roundings however many there are: rows of one direction are found by their lengths.
template <class Sum, class T>
Sum sum_of_squares(const T* row, std::size_t n) {
  constexpr std::size_t chains = 4;  // each waits for itself only
  Sum sums[chains] = {}, errors[chains] = {};
  for (std::size_t j = 0; j < n; j += chains) {
    for (std::size_t k = 0; k < chains && k < n - j; ++k) {
      const Sum x = detail::load_scalar<Sum>(row + j + k);
      const Sum term = x * x - errors[k], sum = sums[k] + term;
      errors[k] = (sum - sums[k]) - term;
      sums[k] = sum;
    }
  }
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) - ((errors[0] + errors[1]) + (errors[2] + errors[3]));
}

/// 1 / |row| of the rows that count; 0 for a row of norm 0. Of a subnormal row, whose length has no inverse, the largest
/// number.
template <class C, class T>
const double* inverse_lengths(const Batch<C>& batch, const MatrixView<T>& matrix, double* out) {
  for_each_row(batch.size, matrix.cols, batch.executor, [&](std::size_t k) {
    const T* const row = matrix.row(batch.index[k]);
    const auto inverse_root = [](auto sum) {
      constexpr decltype(sum) most = (std::numeric_limits<double>::max)();
      const decltype(sum) inverse = sum == 0 ? 0 : 1 / std::sqrt(sum);
      return static_cast<double>(inverse > most ? most : inverse);
    };
    const double quick = sum_of_squares<double>(row, matrix.cols);
    if (is_safe_sum<Lanes<double, ScalarArch>>(quick)) {
      out[k] = inverse_root(quick);
    } else {
      const AllExceptionsHeld held;
      out[k] = inverse_root(sum_of_squares<long double>(row, matrix.cols));
    }
  });
  return out;
}

/// With `normalize` the rows at unit length, using [size] numbers at `memory`; otherwise centred or as they are.
template <class C, class T>
BatchRows<T> batch_rows(const Batch<C>& batch, const MatrixView<T>& matrix, bool normalize, double* memory,
                        bool centred = false) {
  if (normalize) return {matrix, inverse_lengths(batch, matrix, memory)};
  return {matrix, nullptr, centred};
}

/// out_i = sum_j a_ij b_ij of two matrices of pairs
template <class C>
const double* row_products(const Batch<C>& batch, const C* a, const C* b, double* out) {
  const std::size_t n = batch.size;
  batch.for_each([&](std::size_t i) {
    out[i] = 0;
    for (std::size_t j = 0; j < n; ++j) out[i] += static_cast<double>(a[i * n + j]) * static_cast<double>(b[i * n + j]);
  });
  return out;
}

/// Copies `count` columns of the rows that count, from `begin` on.
template <class C, class T>
void pack_panel(const Batch<C>& batch, const BatchRows<T>& rows, std::size_t begin, std::size_t count, C* panel) {
  double* const mean = batch.panel_means;
  for (std::size_t j = 0; j < count; ++j) mean[j] = 0;
  for (std::size_t k = 0; rows.centred && k < batch.size; ++k) {
    const T* const row = rows.matrix.row(batch.index[k]) + begin;
    const double share = batch.weights[k] / batch.total_weight;
    for (std::size_t j = 0; j < count; ++j) mean[j] += share * detail::load_scalar<double>(row + j);
  }
  // a difference that is the rounding of a mean of equal numbers is 0
  const C rounding = static_cast<C>(batch.size) * static_cast<C>(std::numeric_limits<double>::epsilon());
  for_each_row(batch.size, count, batch.executor, [&](std::size_t k) {
    const T* const row = rows.matrix.row(batch.index[k]) + begin;
    C* const out = panel + k * count;
    if (rows.centred) {
      for (std::size_t j = 0; j < count; ++j) {
        const C m = static_cast<C>(mean[j]), d = detail::load_scalar<C>(row + j) - m;
        out[j] = std::abs(d) <= rounding * std::abs(m) ? C(0) : d;
      }
    } else {
      const double scale = rows.inverse_lengths ? rows.inverse_lengths[k] : 1;
      for (std::size_t j = 0; j < count; ++j) {
        out[j] = static_cast<C>(scale * detail::load_scalar<double>(row + j));
      }
    }
  });
}

/// These columns of the rows that count: the caller's memory if it has exactly them, else a copy in `memory`.
template <class C, class T>
StridedMap<const C> panel_of(const Batch<C>& batch, const BatchRows<T>& rows, std::size_t begin, std::size_t count,
                             C* memory) {
  if constexpr (std::is_same_v<std::remove_const_t<T>, C>) {
    if (batch.size == rows.matrix.rows && !rows.inverse_lengths && !rows.centred) {
      return eigen_map<const C>(rows.matrix.data + begin, batch.size, count, rows.matrix.row_stride);
    }
  }
  pack_panel(batch, rows, begin, count, memory);
  return eigen_map<const C>(memory, batch.size, count, count);
}

/// Calls body(begin, count) for the panels of `cols` columns.
template <class C, class Body>
void for_each_panel(const Batch<C>& batch, std::size_t cols, const Body& body) {
  for (std::size_t begin = 0; begin < cols; begin += batch.panel_width) {
    body(begin, (std::min)(cols - begin, batch.panel_width));
  }
}

/// square_ij = row i . row j
template <class C, class T>
void gram(const Batch<C>& batch, const BatchRows<T>& rows, C* square) {
  auto products = eigen_map(square, batch.size, batch.size);
  products.setZero();
  for_each_panel(batch, rows.matrix.cols, [&](std::size_t begin, std::size_t count) {
    products.template selfadjointView<Eigen::Lower>().rankUpdate(panel_of(batch, rows, begin, count, batch.panel));
  });
  mirror_lower(square, batch.size);
}

/// square_ij = row i of a . row j of b, of equal widths
template <class C, class A, class B>
void cross_products(const Batch<C>& batch, const BatchRows<A>& a, const BatchRows<B>& b, C* square) {
  auto products = eigen_map(square, batch.size, batch.size);
  products.setZero();
  for_each_panel(batch, a.matrix.cols, [&](std::size_t begin, std::size_t count) {
    const auto left = panel_of(batch, a, begin, count, batch.panel);
    products.noalias() += left * panel_of(batch, b, begin, count, batch.other_panel).transpose();
  });
}

struct NothingElse {};

/// Writes the gradient square * rows, to which also(k, begin, count, out) adds further terms of row k, from any rows.
/// If the student's rows are unit rows, it continues through their norms, with dots_k = unit row k . gradient k.
template <class L, class T, class S, class G, class Also = NothingElse>
void put_products(const Batch<typename L::Scalar>& batch, typename L::Scalar* square, const BatchRows<T>& rows,
                  const BatchRows<S>& student, const double* dots, const GradientTarget<MatrixView<G>>& grad,
                  const Also& also = {}) {
  using C = typename L::Scalar;
  for_each_panel(batch, rows.matrix.cols, [&](std::size_t begin, std::size_t count) {
    auto products = eigen_map(batch.other_panel, batch.size, count);
    products.noalias() = eigen_map(square, batch.size, batch.size) * panel_of(batch, rows, begin, count, batch.panel);
    if constexpr (!std::is_same_v<Also, NothingElse>) {  // of all rows first: the gradient may overwrite them
      for_each_row(batch.size, count, batch.executor,
                   [&](std::size_t k) { also(k, begin, count, batch.other_panel + k * count); });
    }
    for_each_row(batch.size, count, batch.executor, [&](std::size_t k) {
      C* const out = batch.other_panel + k * count;
      if (student.inverse_lengths) {
        const double inverse = student.inverse_lengths[k];
        const S* const own = student.matrix.row(batch.index[k]) + begin;
        for (std::size_t j = 0; j < count; ++j) {
          const double unit = inverse * detail::load_scalar<double>(own + j);
          out[j] = static_cast<C>(inverse * (static_cast<double>(out[j]) - dots[k] * unit));
        }
      }
      put_row<L>(out, count,
                 GradientRow<std::remove_pointer_t<decltype(grad.view.data)>>{grad.view.row(batch.index[k]) + begin,
                                                                              grad.accumulate});
    });
  });
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
