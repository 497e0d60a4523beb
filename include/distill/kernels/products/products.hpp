// Eigen's matrices, whose products the losses on pairs use. Needs Eigen.
#pragma once

#if !__has_include(<Eigen/Core>)
#error \
    "distill: this header needs Eigen, which is not on the include path. Install it (Debian: libeigen3-dev) and link \
Eigen3::Eigen, or add -I for its folder, such as /usr/include/eigen3"
#endif
#include <Eigen/Core>

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

template <class C>
using RowMajor = Eigen::Matrix<C, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

inline Eigen::Index eigen_index(std::size_t i) {
  return static_cast<Eigen::Index>(i);
}

/// The rows x cols numbers at `data` as an Eigen matrix.
template <class C>
Eigen::Map<RowMajor<C>> eigen_map(C* data, std::size_t rows, std::size_t cols) {
  return {data, eigen_index(rows), eigen_index(cols)};
}

template <class C>
using StridedMap =
    Eigen::Map<std::conditional_t<std::is_const_v<C>, const RowMajor<std::remove_const_t<C>>, RowMajor<C>>, 0,
               Eigen::OuterStride<>>;

/// The same, with rows `row_stride` numbers apart.
template <class C>
StridedMap<C> eigen_map(C* data, std::size_t rows, std::size_t cols, std::size_t row_stride) {
  return {data, eigen_index(rows), eigen_index(cols), Eigen::OuterStride<>(eigen_index(row_stride))};
}

/// Calls body(i0, j0, rows, cols) for the blocks of a square's lower triangle.
template <class Body>
void for_each_lower_block(std::size_t n, std::size_t block, const Body& body) {
  for (std::size_t i0 = 0; i0 < n; i0 += block) {
    for (std::size_t j0 = 0; j0 <= i0; j0 += block) body(i0, j0, (std::min)(block, n - i0), (std::min)(block, n - j0));
  }
}

/// A block of numbers, copied: rows of a square whose size is a power of two share cache sets.
template <class C>
struct TransposeTile {
  static constexpr std::size_t block = 32;
  C numbers[block][block + 1];

  void read(const C* from, std::size_t stride, std::size_t rows, std::size_t cols) {
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < cols; ++j) numbers[i][j] = from[i * stride + j];
    }
  }
  void write_transposed(C* to, std::size_t stride, std::size_t rows, std::size_t cols) const {
    for (std::size_t j = 0; j < cols; ++j) {
      for (std::size_t i = 0; i < rows; ++i) to[j * stride + i] = numbers[i][j];
    }
  }
};

/// The square with the lower triangle copied to the upper one.
template <class C>
void mirror_lower(C* square, std::size_t n) {
  TransposeTile<C> tile;
  for_each_lower_block(n, tile.block, [&](std::size_t i0, std::size_t j0, std::size_t rows, std::size_t cols) {
    tile.read(square + i0 * n + j0, n, rows, cols);
    if (i0 == j0) {
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < i; ++j) tile.numbers[j][i] = tile.numbers[i][j];
      }
    }
    tile.write_transposed(square + j0 * n + i0, n, rows, cols);
  });
}

/// square + its transpose, in place.
template <class C>
void add_transpose(C* square, std::size_t n) {
  TransposeTile<C> lower, upper;
  for_each_lower_block(n, lower.block, [&](std::size_t i0, std::size_t j0, std::size_t rows, std::size_t cols) {
    lower.read(square + i0 * n + j0, n, rows, cols);
    upper.read(square + j0 * n + i0, n, cols, rows);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < cols; ++j) upper.numbers[j][i] += lower.numbers[i][j];
    }
    upper.write_transposed(square + i0 * n + j0, n, cols, rows);
    for (std::size_t j = 0; j < cols; ++j) {
      for (std::size_t i = 0; i < rows; ++i) square[(j0 + j) * n + i0 + i] = upper.numbers[j][i];
    }
  });
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
