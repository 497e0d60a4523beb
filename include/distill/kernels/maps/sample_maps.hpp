// The feature maps of one sample.
#pragma once

#include <cstddef>

#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Channels of height x width positions of one sample, in place.
template <class T>
struct SampleMaps {
  T* data;
  std::size_t channels, height, width;
  std::size_t channel_stride, position_stride;

  std::size_t positions() const { return height * width; }
  T* at(std::size_t channel, std::size_t position) const {
    return data + channel * channel_stride + position * position_stride;
  }
};

/// Sample i of a FeatureMapView.
template <class T, class View>
SampleMaps<T> sample_maps(const View& maps, std::size_t i) {
  return {maps.data ? maps.data + i * maps.batch_stride : nullptr,
          maps.channels,
          maps.height,
          maps.width,
          maps.channel_stride,
          maps.position_stride};
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
