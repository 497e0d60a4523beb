// One loss over several layers of student and teacher.
#pragma once

#include <cstddef>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/error.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// A layer of the student, the teacher's layer that it learns from, where the gradient goes, and the weight of their
/// loss.
template <class Student, class Teacher, class Grad>
struct LayerPair {
  Student student;
  Teacher teacher;
  Grad grad;
  double weight = 1;
};

namespace detail {

inline void clear_gradient(const char*, NoGradient) {}
template <class View>
void clear_gradient(const char* who, const GradientTarget<View>& grad) {
  require_view(who, "grad", grad.view);
  for (std::size_t i = 0; !grad.accumulate && i < samples_of(grad.view); ++i) fill_row(grad.view, i, 0);
}

template <class Loss, class = void>
struct has_weight : std::false_type {};
template <class Loss>
struct has_weight<Loss, std::void_t<decltype(Loss::weight)>> : std::true_type {};

/// The loss of one pair, times the pair's weight.
template <class Loss, class Pair>
double layer_loss(const Loss& loss, const Pair& pair, const RowOptions& options) {
  if constexpr (has_weight<Loss>::value) {
    static_assert(std::is_invocable_v<const Loss&, decltype(pair.student), decltype(pair.teacher)>,
                  "distill: this loss takes more than student and teacher; pass sum_over_layers a callable "
                  "(student, teacher, grad, weight, options) that calls it");
    Loss weighted = loss;
    weighted.weight *= pair.weight;
    return weighted(pair.student, pair.teacher, pair.grad, options);
  } else {
    return loss(pair.student, pair.teacher, pair.grad, pair.weight, options);
  }
}

}  // namespace detail

/// layer_pair(student, teacher, grad, weight), for matrices or feature maps; grad may be add_to(grad).
template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
auto layer_pair(const Student& student, const Teacher& teacher, Grad&& grad, double weight) {
  const auto s = detail::read_only(detail::as_view(student));
  const auto t = detail::read_only(detail::as_view(teacher));
  const auto g = detail::gradient_target<void>(grad);
  return LayerPair<std::remove_const_t<decltype(s)>, std::remove_const_t<decltype(t)>,
                   std::remove_const_t<decltype(g)>>{s, t, g, weight};
}
/// layer_pair(student, teacher, weight), for the value only.
template <class Student, class Teacher>
auto layer_pair(const Student& student, const Teacher& teacher, double weight) {
  const auto s = detail::read_only(detail::as_view(student));
  const auto t = detail::read_only(detail::as_view(teacher));
  return LayerPair<std::remove_const_t<decltype(s)>, std::remove_const_t<decltype(t)>, detail::NoGradient>{
      s, t, {}, weight};
}

/// The sum of weight * loss(student, teacher, grad) over any range of pairs of layers:
///
///     const std::vector layers{layer_pair(s1, t1, g1, 0.5), layer_pair(s2, t2, g2, 1)};
///     double value = sum_over_layers(FeatureMatching{}, layers, options);
///
/// If a loss takes more arguments, pass a callable, which multiplies the loss by the pair's weight:
///
///     sum_over_layers([&](auto s, auto t, auto grad, double weight, const RowOptions& options) {
///       MarginRelu loss;
///       loss.weight = weight;
///       return loss(s, t, margins, grad, options);
///     }, layers);
///
/// A student's layer may stand in several pairs: its gradient is then add_to(grad) in all but the first. A pair of weight
/// 0 is not read, and its gradient is 0. Each pair is a call of the loss, with the options: so what is wrong with a pair
/// is reported before anything of it is written, but after those in front of it. There must be no `options.losses`, which has
/// room for one layer.
template <class Loss, class Pairs>
double sum_over_layers(const Loss& loss, const Pairs& pairs, const RowOptions& options = {}) {
  constexpr const char* who = "sum_over_layers";
  if (options.losses) detail::fail(who, "losses is given, expected none: call the loss for a single layer's");
  std::size_t index = 0;
  for (const auto& pair : pairs) {
    if (!(pair.weight >= 0)) {
      detail::fail(who, "the weight of pair ", index, " is ", pair.weight, ", expected a number of at least 0");
    }
    ++index;
  }
  double sum = 0;
  for (const auto& pair : pairs) {
    if (pair.weight == 0) {
      detail::clear_gradient(who, pair.grad);
      continue;
    }
    sum += detail::layer_loss(loss, pair, options);
  }
  return sum;
}

}  // namespace DISTILL_ABI
}  // namespace distill
