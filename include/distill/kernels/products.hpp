// Eigen's matrices, whose products the losses on pairs use. Needs Eigen.
#pragma once

#include <Eigen/Core>

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

/// The rows x cols numbers at `data` as a matrix of Eigen's.
template <class C>
Eigen::Map<RowMajor<C>> eigen_map(C* data, std::size_t rows, std::size_t cols) {
  return {data, eigen_index(rows), eigen_index(cols)};
}

template <class C>
using StridedMap =
    Eigen::Map<std::conditional_t<std::is_const_v<C>, const RowMajor<std::remove_const_t<C>>, RowMajor<C>>, 0,
               Eigen::OuterStride<>>;

/// The same, with rows that lie `row_stride` numbers apart.
template <class C>
StridedMap<C> eigen_map(C* data, std::size_t rows, std::size_t cols, std::size_t row_stride) {
  return {data, eigen_index(rows), eigen_index(cols), Eigen::OuterStride<>(eigen_index(row_stride))};
}

/// The square with the lower triangle's numbers in the upper one.
template <class C>
void mirror_lower(C* square, std::size_t n) {
  constexpr std::size_t block = 32;  // of which two fit into the L1 cache
  for (std::size_t i0 = 0; i0 < n; i0 += block) {
    for (std::size_t j0 = 0; j0 <= i0; j0 += block) {
      for (std::size_t i = i0; i < n && i < i0 + block; ++i) {
        for (std::size_t j = j0; j < i && j < j0 + block; ++j) square[j * n + i] = square[i * n + j];
      }
    }
  }
}

/// square + its transpose, in place.
template <class C>
void add_transpose(C* square, std::size_t n) {
  constexpr std::size_t block = 32;
  for (std::size_t i0 = 0; i0 < n; i0 += block) {
    for (std::size_t j0 = 0; j0 <= i0; j0 += block) {
      for (std::size_t i = i0; i < n && i < i0 + block; ++i) {
        for (std::size_t j = j0; j <= i && j < j0 + block; ++j) {
          const C sum = square[i * n + j] + square[j * n + i];
          square[i * n + j] = square[j * n + i] = sum;
        }
      }
    }
  }
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
