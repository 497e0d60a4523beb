// Average pooling of one sample's maps to a smaller grid, and its transpose for gradients.
#pragma once

#include <cstddef>

#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/rows/range.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Bin i when `n` positions are pooled to `bins` (as in adaptive average pooling: floor and ceiling, so bins may
/// overlap); with the sizes swapped, the bins that contain position i.
inline Range pooling_bin(std::size_t i, std::size_t bins, std::size_t n) {
  return {i * n / bins, ((i + 1) * n + bins - 1) / bins};
}

/// Writes the means over bins, channel by channel, to `out`: channels x height x width.
template <class T, class Stored>
void average_pool(const SampleMaps<const Stored>& maps, const SampleMaps<T>& out) {
  for (std::size_t c = 0; c < maps.channels; ++c) {
    for (std::size_t y = 0; y < out.height; ++y) {
      const Range rows = pooling_bin(y, out.height, maps.height);
      for (std::size_t x = 0; x < out.width; ++x) {
        const Range cols = pooling_bin(x, out.width, maps.width);
        const T share = 1 / static_cast<T>((rows.end - rows.begin) * (cols.end - cols.begin));
        T mean = 0;
        for (std::size_t i = rows.begin; i < rows.end; ++i) {
          for (std::size_t j = cols.begin; j < cols.end; ++j) {
            mean += share * detail::load_scalar<T>(maps.at(c, i * maps.width + j));
          }
        }
        *out.at(c, y * out.width + x) = mean;
      }
    }
  }
}

/// From the gradient with respect to the means to that with respect to the maps.
template <class T, class Stored>
void average_pool_backward(const SampleMaps<const T>& grad_out, const SampleMaps<Stored>& grad, bool accumulate) {
  for (std::size_t c = 0; c < grad.channels; ++c) {
    for (std::size_t i = 0; i < grad.height; ++i) {
      const Range rows = pooling_bin(i, grad.height, grad_out.height);
      for (std::size_t j = 0; j < grad.width; ++j) {
        const Range cols = pooling_bin(j, grad.width, grad_out.width);
        Stored* const element = grad.at(c, i * grad.width + j);
        T sum = accumulate ? detail::load_scalar<T>(element) : T(0);
        for (std::size_t y = rows.begin; y < rows.end; ++y) {
          const Range in_rows = pooling_bin(y, grad_out.height, grad.height);
          for (std::size_t x = cols.begin; x < cols.end; ++x) {
            const Range in_cols = pooling_bin(x, grad_out.width, grad.width);
            const auto size = (in_rows.end - in_rows.begin) * (in_cols.end - in_cols.begin);
            sum += *grad_out.at(c, y * grad_out.width + x) / static_cast<T>(size);
          }
        }
        detail::store_scalar(element, sum);
      }
    }
  }
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
