// Squared differences of a map at full size and of its average poolings.
#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>

#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/maps/pooling.hpp>
#include <distill/kernels/rows/feature_row.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/safe_sum.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// The weights of a map's levels: of a squared difference at full size, and of one of a pooling to size x size.
struct Pyramid {
  struct Level {
    std::size_t size;
    double weight;
  };
  static constexpr std::size_t sizes[] = {4, 2, 1};
  static constexpr std::size_t rows_of_levels = 4 + 2 + 1;

  std::size_t height, width;
  double weight = 1;
  Level levels[3] = {};
  std::size_t count = 0;  // of levels that are smaller than the map

  Pyramid(std::size_t h, std::size_t w, double level_weight) : height(h), width(w) {
    double total = 1, own = 1;
    for (const std::size_t size : sizes) {
      if (size >= height) continue;
      own *= level_weight;
      total += own;
      levels[count++] = {size, own};
    }
    for (Level& level : levels) {
      if (level.size != 0) level.weight /= total * static_cast<double>(level.size * level.size);
    }
    weight /= total * static_cast<double>(height * width);
  }
};

/// False, and nothing written, if L is too narrow; `is_last`: there is no wider type, and only numbers that are not
/// finite are too much for it.
template <class L, bool is_last, class S, class T, class G>
bool compute_pyramid_row(const Pyramid& pyramid, const S* s, const T* t, double factor, G* grad, bool accumulate,
                         double& loss) {
  using N = typename L::Scalar;
  const std::size_t width = pyramid.width, n = pyramid.height * width;
  detail::ScratchFrame frame;
  N* const difference = frame.take<N>(n);
  N* const band = frame.take<N>(width);
  // what each row of bins adds to the gradient of the positions in it
  N* const steps = frame.take<N>(Pyramid::rows_of_levels * width);
  const auto at = [](const N* x, std::size_t i, std::size_t end) { return load_up_to<L>(x + i, end - i, 0); };
  for (std::size_t i = 0; i < n; i += L::width) {
    store_up_to(load_up_to<L>(s + i, n - i, 0) - load_up_to<L>(t + i, n - i, 0), difference + i, n - i);
  }
  const auto squares = sum_row<L>(n, [&](std::size_t i) { return at(difference, i, n) * at(difference, i, n); });
  const auto is_zero = [&] {
    return sum_row<L>(n, [&](std::size_t i) { return absolute(at(difference, i, n)); }) == 0;
  };
  if (is_last ? !std::isfinite(squares) : !is_safe_sum<L>(squares) && !(squares == 0 && is_zero())) return false;

  auto sum = static_cast<total_t<L>>(pyramid.weight) * squares;
  N* step = steps;
  for (std::size_t k = 0; k < pyramid.count; ++k) {
    const Pyramid::Level level = pyramid.levels[k];
    for (std::size_t y = 0; y < level.size; ++y, step += width) {
      const Range rows = pooling_bin(y, level.size, pyramid.height);
      for (std::size_t j = 0; j < width; j += L::width) {
        L total(N(0));
        for (std::size_t i = rows.begin; i < rows.end; ++i) total = total + at(difference + i * width, j, width);
        store_up_to(total, band + j, width - j);
      }
      for (std::size_t j = 0; j < width; ++j) step[j] = 0;
      for (std::size_t x = 0; x < level.size; ++x) {
        const Range cols = pooling_bin(x, level.size, width);
        const auto size = static_cast<total_t<L>>((rows.end - rows.begin) * (cols.end - cols.begin));
        total_t<L> mean = 0;
        for (std::size_t j = cols.begin; j < cols.end; ++j) mean += static_cast<total_t<L>>(band[j]) / size;
        sum += static_cast<total_t<L>>(level.weight) * mean * mean;
        const N share = static_cast<N>(static_cast<total_t<L>>(level.weight / pyramid.weight) * mean / size);
        for (std::size_t j = cols.begin; j < cols.end; ++j) step[j] += share;
      }
    }
  }
  loss = static_cast<double>(sum);

  const L scale(static_cast<N>(2 * factor * pyramid.weight));
  for (std::size_t i = 0; grad && i < pyramid.height; ++i) {
    for (std::size_t j = 0; j < width; j += L::width) {
      L g = at(difference + i * width, j, width);
      const N* row = steps;
      for (std::size_t k = 0; k < pyramid.count; ++k) {
        const std::size_t size = pyramid.levels[k].size;
        const Range bins = pooling_bin(i, pyramid.height, size);
        for (std::size_t y = bins.begin; y < bins.end; ++y) g = g + at(row + y * width, j, width);
        row += size * width;
      }
      put(g * scale, grad + i * width + j, width - j, accumulate);
    }
  }
  return true;
}

/// The weighted sum of squared differences of a channel's levels; writes (or adds) factor times its gradient to grad,
/// unless that is null. grad may be s. A number that is not finite makes all NaN.
template <class L, class S, class T, class G>
double pyramid_row(const Pyramid& pyramid, const S* s, const T* t, double factor, G* grad, bool accumulate) {
  double loss = 0;
  if (compute_pyramid_row<L, false>(pyramid, s, t, factor, grad, accumulate, loss)) return loss;
  const AllExceptionsHeld held;
  if (compute_pyramid_row<Wide<L>, true>(pyramid, s, t, factor, grad, accumulate, loss)) return loss;
  return poisoned_row(grad, pyramid.height * pyramid.width);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
