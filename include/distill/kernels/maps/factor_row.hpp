// One sample's maps as one row of unit length, compared between student and teacher.
#pragma once

#include <cstddef>

#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/maps/attention_row.hpp>
#include <distill/kernels/maps/pooling.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/rows/feature_row.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// As unit_difference_row. Maps with different sizes or layouts are copied first.
template <class L, class F, class S, class T>
double factor_row(const F& f, Outer outer, const AttentionSample<S, T>& sample, double factor) {
  using N = typename L::Scalar;
  const auto& [student, teacher, grad, height, width, accumulate] = sample;
  const std::size_t channels = student.channels, positions = height * width, n = channels * positions;
  const auto is_like_student = [&, &first = student](const auto& maps) {
    return maps.height == first.height && maps.width == first.width && maps.channel_stride == first.channel_stride &&
           maps.position_stride == first.position_stride;
  };
  const bool has_no_gaps = (student.position_stride == 1 && (student.channel_stride == positions || channels == 1)) ||
                           (student.channel_stride == 1 && (student.position_stride == channels || positions == 1));
  if (has_no_gaps && is_like_student(teacher) && (!grad.data || is_like_student(grad))) {
    return unit_difference_row<L>(f, outer, student.data, teacher.data, n, factor,
                                  GradientRow<S>{grad.data, accumulate});
  }
  detail::ScratchFrame frame;
  const auto pooled = [&, h = height, w = width](const auto& maps) {
    const SampleMaps<N> copy{frame.take<N>(n), channels, h, w, positions, 1};
    average_pool(maps, copy);
    return copy;
  };
  const SampleMaps<N> s = pooled(student), t = pooled(teacher);
  const double loss =
      unit_difference_row<L>(f, outer, s.data, t.data, n, factor, GradientRow<N>{grad.data ? s.data : nullptr});
  if (grad.data) {
    average_pool_backward(SampleMaps<const N>{s.data, channels, height, width, positions, 1}, grad, accumulate);
  }
  return loss;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
