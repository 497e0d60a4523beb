// Any loss on hidden layers as one type, so that common properties are tested, and compiled, once.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/score_loss.hpp"

namespace support {

/// The loss with weight 1 by its formula; samples of weight 0 are already left out.
using HiddenFormula =
    std::function<long double(const std::vector<reference::Row>& student, const std::vector<reference::Row>& teacher,
                              const std::vector<long double>& weights, distill::Reduction reduction)>;

struct HiddenLoss {
  std::string name;
  std::vector<Scalar> scalars;
  std::function<Answer(const Problem&, const Call&)> call;
  /// For floats in any memory.
  std::function<double(distill::MatrixView<const float>, distill::MatrixView<const float>,
                       distill::GradientTarget<distill::MatrixView<float>>, const distill::RowOptions&)>
      raw_call;

  std::size_t samples = 5, student_size = 6, teacher_size = 6;  // elements per sample
  HiddenFormula formula = {};
  /// Instead of the formula, where samples are independent: the loss of one ...
  std::function<long double(const reference::Row& student, const reference::Row& teacher)> sample = {};
  std::size_t sum_terms = 1;   // ... and its divisor for Reduction::per_element
  double tolerance = 1;        // times the usual, in float, with a reason where it is set
  bool has_kinks = false;      // where student and teacher agree
  bool is_nonnegative = true;  // each sample's loss
  bool poisons_batch = false;  // a sample with NaN makes all others NaN
  bool zero_sample_has_no_gradient = false;
  bool equal_samples_have_no_gradient = false;  // where all of the student's are equal
  bool single_sample_is_zero = false;           // the loss and gradient of one
};

template <class S>
inline constexpr Scalar scalar_of = std::is_same_v<S, float>           ? Scalar::float32
                                    : std::is_same_v<S, double>        ? Scalar::float64
                                    : std::is_same_v<S, distill::half> ? Scalar::half
                                                                       : Scalar::bfloat16;

/// `invoke(loss, student, teacher, grad, options)` calls the loss with matrices of one sample a row, in the types S.
template <class... S, class Loss, class Invoke>
HiddenLoss hidden_loss_of(std::string name, const Loss& loss, const Invoke& invoke) {
  HiddenLoss result;
  result.name = std::move(name);
  result.scalars = {scalar_of<S>...};
  result.call = [=](const Problem& problem, const Call& call) {
    const auto without_labels = [&](const auto& l, auto s, auto t, auto, auto g, const auto& options) {
      return invoke(l, s, t, g, options);
    };
    Answer answer;
    const auto call_if = [&](auto zero) {
      using T = decltype(zero);
      if (problem.scalar == scalar_of<T>) answer = detail::call_in<T>(problem, call, loss, without_labels);
    };
    (call_if(S{}), ...);
    return answer;
  };
  result.raw_call = [=](auto s, auto t, auto g, const auto& options) { return invoke(loss, s, t, g, options); };
  return result;
}
/// For all scalar types.
template <class Loss, class Invoke>
HiddenLoss hidden_loss(std::string name, const Loss& loss, const Invoke& invoke) {
  return hidden_loss_of<float, double, distill::half, distill::bfloat16>(std::move(name), loss, invoke);
}

/// Each row as maps of channels x height x width.
template <class T>
distill::FeatureMapView<T> as_maps(const distill::MatrixView<T>& m, std::size_t channels, std::size_t height,
                                   std::size_t width) {
  distill::FeatureMapView<T> maps{m.data, m.rows, channels, height, width};
  maps.batch_stride = m.row_stride;
  return maps;
}
/// Each row as maps of height x width x channels.
template <class T>
distill::FeatureMapView<T> as_nhwc(const distill::MatrixView<T>& m, std::size_t channels, std::size_t height,
                                   std::size_t width) {
  auto maps = distill::nhwc(m.data, m.rows, height, width, channels);
  maps.batch_stride = m.row_stride;
  return maps;
}
template <class T>
auto as_maps(const distill::GradientTarget<distill::MatrixView<T>>& target, std::size_t channels, std::size_t height,
             std::size_t width) {
  const auto maps = as_maps(target.view, channels, height, width);
  return distill::GradientTarget<distill::FeatureMapView<T>>{maps, target.accumulate};
}
template <class T>
auto as_nhwc(const distill::GradientTarget<distill::MatrixView<T>>& target, std::size_t channels, std::size_t height,
             std::size_t width) {
  const auto maps = as_nhwc(target.view, channels, height, width);
  return distill::GradientTarget<distill::FeatureMapView<T>>{maps, target.accumulate};
}
inline auto as_maps(distill::detail::NoGradient none, std::size_t, std::size_t, std::size_t) {
  return none;
}
inline auto as_nhwc(distill::detail::NoGradient none, std::size_t, std::size_t, std::size_t) {
  return none;
}

/// All that every loss on hidden layers guarantees: value and gradient in every scalar type, with every reduction and
/// with weights, in place and added, by any executor; ignored samples are never read; what NaN does; what throws.
void check_hidden_loss(const HiddenLoss& loss);

}  // namespace support
