// One sample's maps, for a loss that sums over pairs of one student and one teacher element, with terms per channel.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/gradient.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/rows/pair_rows.hpp>
#include <distill/kernels/rows/safe_sum.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// What is contiguous in memory.
enum class Neighbours { positions, channels, neither };

/// For all the maps, which have the same shape; those without data do not count.
template <class First, class... Rest>
Neighbours neighbours_of(const First& first, const Rest&... rest) {
  const auto all = [&](auto stride_of) {
    return stride_of(first) == 1 && ((rest.data == nullptr || stride_of(rest) == 1) && ...);
  };
  const bool channels = all([](const auto& maps) { return maps.channel_stride; });
  if (channels && first.positions() == 1) return Neighbours::channels;
  if (all([](const auto& maps) { return maps.position_stride; })) return Neighbours::positions;
  return channels ? Neighbours::channels : Neighbours::neither;
}

/// As pair_rows, over all of sample i. NaN if a number is not finite; the caller then fills the gradient.
/// terms.of_channel(c) are the terms of a row of one channel's positions, terms.of_channels() of a row of one
/// position's channels.
template <class L, class Terms, class S, class T, class G>
double pair_maps(const Terms& terms, const FeatureMapView<S>& student, const FeatureMapView<T>& teacher,
                 const GradientTarget<FeatureMapView<G>>& target, std::size_t i, double factor) {
  const auto s = sample_maps<S>(student, i);
  const auto t = sample_maps<T>(teacher, i);
  const auto grad = sample_maps<G>(target.view, i);
  // Rows of n numbers, the first at channel c, each next one `stride_of` further.
  const auto rows_from = [&](std::size_t c, std::size_t rows, std::size_t n, const auto& stride_of) {
    return PairRows<G, std::remove_const_t<T>>{
        s.at(c, 0),      t.at(c, 0),       grad.data ? grad.at(c, 0) : nullptr, rows, n, stride_of(s), stride_of(t),
        stride_of(grad), target.accumulate};
  };
  const auto channel_stride = [](const auto& maps) { return maps.channel_stride; };
  const auto position_stride = [](const auto& maps) { return maps.position_stride; };
  total_t<Wide<L>> total = 0;
  const Neighbours neighbours = neighbours_of(s, t, grad);
  if (neighbours == Neighbours::positions) {
    total = pair_rows<L>([&](std::size_t c) { return terms.of_channel(c); },
                         rows_from(0, s.channels, s.positions(), channel_stride), factor);
  } else if (neighbours == Neighbours::channels) {
    total = pair_rows<L>([&](std::size_t) { return terms.of_channels(); },
                         rows_from(0, s.positions(), s.channels, position_stride), factor);
  } else {
    for (std::size_t c = 0; c < s.channels; ++c) {
      total += pair_rows<Lanes<typename L::Scalar, ScalarArch>>(
          [&](std::size_t) { return terms.of_channel(c); }, rows_from(c, s.positions(), 1, position_stride), factor);
    }
  }
  return finite_sum(total);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
