// Channels of feature maps as rows of their positions: in place, or copied where positions are not adjacent.
#pragma once

#include <algorithm>
#include <cstddef>

#include <distill/core/executor.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/rows/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// One channel: a row of its positions for each sample.
template <class T>
struct ChannelRows {
  T* data;
  std::size_t stride;

  T* row(std::size_t sample) const { return data ? data + sample * stride : nullptr; }
};

/// Copied together: adjacent channels share cache lines.
inline constexpr std::size_t channels_at_once = 16;

/// Copies `count` channels of a sample, from `begin` on, to rows that are `stride` apart, tile by tile.
template <class C, class T>
void gather_channels(const FeatureMapView<T>& maps, std::size_t sample, std::size_t begin, std::size_t count, C* rows,
                     std::size_t stride) {
  const T* const first = maps.data + sample * maps.batch_stride + begin * maps.channel_stride;
  for (std::size_t tile = 0; tile < maps.positions(); tile += channels_at_once) {
    const std::size_t end = (std::min)(maps.positions(), tile + channels_at_once);
    for (std::size_t c = 0; c < count; ++c) {
      for (std::size_t p = tile; p < end; ++p) {
        rows[c * stride + p] = detail::load_scalar<C>(first + c * maps.channel_stride + p * maps.position_stride);
      }
    }
  }
}

/// The reverse, for gradients.
template <class C, class T>
void scatter_channels(const C* rows, std::size_t stride, const GradientTarget<FeatureMapView<T>>& grad,
                      std::size_t sample, std::size_t begin, std::size_t count) {
  const FeatureMapView<T>& maps = grad.view;
  T* const first = maps.data + sample * maps.batch_stride + begin * maps.channel_stride;
  for (std::size_t p = 0; p < maps.positions(); ++p) {
    for (std::size_t c = 0; c < count; ++c) {
      T* const element = first + c * maps.channel_stride + p * maps.position_stride;
      const C old = grad.accumulate ? detail::load_scalar<C>(element) : C(0);
      detail::store_scalar(element, old + rows[c * stride + p]);
    }
  }
}

/// Calls body(c, student, teacher, grad, accumulate) for each channel c, the three being ChannelRows; copies are in C.
/// Samples for which is_live(i) is false are not copied; body must not touch them.
template <class C, class S, class T, class G, class IsLive, class Body>
void for_each_channel(const FeatureMapView<S>& student, const FeatureMapView<T>& teacher,
                      const GradientTarget<FeatureMapView<G>>& grad, const IsLive& is_live, Executor executor,
                      const Body& body) {
  const std::size_t n = student.positions(), batch = student.batch, channels = student.channels;
  if (student.position_stride == 1 && teacher.position_stride == 1 &&
      (!grad.view.data || grad.view.position_stride == 1)) {
    const auto rows = [](const auto& maps, std::size_t c) {
      return ChannelRows<detail::element_t<decltype(maps)>>{maps.data ? maps.data + c * maps.channel_stride : nullptr,
                                                            maps.batch_stride};
    };
    for_each_row(channels, batch * n, executor, [&](std::size_t c) {
      body(c, rows(student, c), rows(teacher, c), rows(grad.view, c), grad.accumulate);
    });
    return;
  }
  const std::size_t blocks = (channels + channels_at_once - 1) / channels_at_once;
  for_each_row(blocks, channels_at_once * batch * n, executor, [&](std::size_t block) {
    const std::size_t begin = block * channels_at_once, count = (std::min)(channels_at_once, channels - begin);
    // from one channel to the next: an odd number of cache lines, so that channels do not share cache sets
    const std::size_t stride = (batch * n / 16 | 1) * 16 + 32;
    detail::ScratchFrame frame;
    C* const s = frame.take<C>(channels_at_once * stride);
    C* const t = frame.take<C>(channels_at_once * stride);
    for (std::size_t i = 0; i < batch; ++i) {
      if (!is_live(i)) continue;
      gather_channels(student, i, begin, count, s + i * n, stride);
      gather_channels(teacher, i, begin, count, t + i * n, stride);
    }
    for (std::size_t c = 0; c < count; ++c) {  // the gradient overwrites the student
      C* const row = s + c * stride;
      body(begin + c, ChannelRows<const C>{row, n}, ChannelRows<const C>{t + c * stride, n},
           ChannelRows<C>{grad.view.data ? row : nullptr, n}, false);
    }
    for (std::size_t i = 0; grad.view.data && i < batch; ++i) {
      if (is_live(i)) scatter_channels(s + i * n, stride, grad, i, begin, count);
    }
  });
}

/// Calls body(student, teacher, grad, accumulate) for each channel of sample i: the data of each is that of its only
/// row.
template <class C, class S, class T, class G, class Body>
void for_each_channel_of(const FeatureMapView<S>& student, const FeatureMapView<T>& teacher,
                         const GradientTarget<FeatureMapView<G>>& grad, std::size_t i, const Body& body) {
  const auto sample = [i](const auto& maps) {
    auto result = maps;
    result.data = maps.data ? maps.data + i * maps.batch_stride : nullptr;
    result.batch = 1;
    return result;
  };
  for_each_channel<C>(
      sample(student), sample(teacher), GradientTarget<FeatureMapView<G>>{sample(grad.view), grad.accumulate},
      [](std::size_t) { return true; }, {},
      [&](std::size_t, const auto& s, const auto& t, const auto& g, bool accumulate) { body(s, t, g, accumulate); });
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
