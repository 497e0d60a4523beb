// One sample's maps of a loss that is a sum over pairs of a student's and a teacher's number, the terms differing by
// channel.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/gradient.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/lanes.hpp>
#include <distill/kernels/pair_rows.hpp>
#include <distill/kernels/pooling.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// What lies side by side in memory.
enum class Neighbours { positions, channels, neither };

/// Of all the maps, which are of one shape; those without data do not count.
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

/// As pair_rows, over all of sample i; NaN, with a gradient yet to be filled, if a number is not finite.
/// terms.of_channel(c) are the terms of a row of one channel's positions, terms.of_channels() of a row of one position's
/// channels.
template <class L, class Terms, class S, class T, class G>
double pair_maps(const Terms& terms, const FeatureMapView<S>& student, const FeatureMapView<T>& teacher,
                 const GradientTarget<FeatureMapView<G>>& target, std::size_t i, double factor) {
  const auto s = sample_maps<S>(student, i);
  const auto t = sample_maps<T>(teacher, i);
  const auto grad = sample_maps<G>(target.view, i);
  // Rows of n numbers, the first at channel c, the next ones `stride_of` further.
  const auto rows_from = [&](std::size_t c, std::size_t rows, std::size_t n, const auto& stride_of) {
    return PairRows<G, std::remove_const_t<T>>{
        s.at(c, 0),      t.at(c, 0),       grad.data ? grad.at(c, 0) : nullptr, rows, n, stride_of(s), stride_of(t),
        stride_of(grad), target.accumulate};
  };
  const auto channel_stride = [](const auto& maps) { return maps.channel_stride; };
  const auto position_stride = [](const auto& maps) { return maps.position_stride; };
  total_t<Wide<L>> total = 0;
  switch (neighbours_of(s, t, grad)) {
    case Neighbours::positions:
      total = pair_rows<L>([&](std::size_t c) { return terms.of_channel(c); },
                           rows_from(0, s.channels, s.positions(), channel_stride), factor);
      break;
    case Neighbours::channels:
      total = pair_rows<L>([&](std::size_t) { return terms.of_channels(); },
                           rows_from(0, s.positions(), s.channels, position_stride), factor);
      break;
    case Neighbours::neither:
      for (std::size_t c = 0; c < s.channels; ++c) {
        total += pair_rows<Lanes<typename L::Scalar, ScalarArch>>(
            [&](std::size_t) { return terms.of_channel(c); }, rows_from(c, s.positions(), 1, position_stride), factor);
      }
  }
  return std::isfinite(total) ? static_cast<double>(total) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
