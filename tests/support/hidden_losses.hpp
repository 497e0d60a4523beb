// The losses on hidden layers with one interface, matrices of samples, for tests of common properties. Labels may be
// passed, as for losses on class scores, and are ignored.
#pragma once

#include <cstddef>
#include <distill/attention/attention_transfer.hpp>
#include <distill/features/feature_matching.hpp>
#include <type_traits>
#include <utility>
#include <vector>

namespace support {

template <distill::FeatureDistance distance, bool normalize>
struct Matching {
  distill::FeatureMatching loss{distance, 0.5, normalize, 1, distill::Reduction::mean};
  static constexpr const char* name = "FeatureMatching";
  template <class S, class T, class... Rest>
  double operator()(const S& student, const T& teacher, Rest&&... rest) const {
    return loss(student, teacher, std::forward<Rest>(rest)...);
  }
  template <class S, class T, class... Rest>
  double operator()(const S& student, const T& teacher, const std::vector<int>&, Rest&&... rest) const {
    return loss(student, teacher, std::forward<Rest>(rest)...);
  }
};

/// Each row is two channels of a map; an odd last column is left out.
template <distill::AttentionDistance distance, bool channels_last>
struct Attention {
  distill::AttentionTransfer loss{2, distance, 1, distill::Reduction::mean};
  static constexpr const char* name = "AttentionTransfer";

  template <class S, class T, class... Rest>
  double operator()(const S& student, const T& teacher, Rest&&... rest) const {
    return loss(maps(student), maps(teacher), adapt(std::forward<Rest>(rest))...);
  }
  template <class S, class T, class... Rest>
  double operator()(const S& student, const T& teacher, const std::vector<int>&, Rest&&... rest) const {
    return (*this)(student, teacher, std::forward<Rest>(rest)...);
  }

 private:
  template <class T>
  static distill::FeatureMapView<T> maps(const distill::MatrixView<T>& m) {
    const std::size_t positions = m.cols / 2;
    distill::FeatureMapView<T> view{m.data, m.rows, 2, positions};
    if (channels_last) view = distill::nhwc(m.data, m.rows, positions, 1, 2);
    view.batch_stride = m.row_stride;
    return view;
  }
  template <class T>
  static auto adapt(const distill::MatrixView<T>& m) {
    return maps(m);
  }
  template <class T>
  static auto adapt(const distill::GradientTarget<distill::MatrixView<T>>& target) {
    return distill::add_to(maps(target.view));
  }
  static const distill::RowOptions& adapt(const distill::RowOptions& options) { return options; }
};

using SquaredMatching = Matching<distill::FeatureDistance::squared, false>;
using NormalizedHuber = Matching<distill::FeatureDistance::huber, true>;
using CosineMatching = Matching<distill::FeatureDistance::cosine, false>;
using SquaredAttention = Attention<distill::AttentionDistance::squared, false>;
using EuclideanAttention = Attention<distill::AttentionDistance::euclidean, true>;

}  // namespace support

#define DISTILL_TEST_HIDDEN_LOSSES                                                                        \
  support::SquaredMatching, support::NormalizedHuber, support::CosineMatching, support::SquaredAttention, \
      support::EuclideanAttention
