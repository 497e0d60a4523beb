// One loss over several layers of student and teacher.
#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>

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

/// A host's tensor in a pair, until a loss asks for the view that it reads: a reference to what has a name, else the
/// tensor itself.
template <class Tensor>
struct KeptTensor {
  Tensor tensor;
};

/// What a pair holds of a student or a teacher.
template <class X>
auto kept_layer(X&& x) {
  using Tensor = std::decay_t<X>;
  if constexpr (is_tensor<Tensor>::value) {
    return KeptTensor<std::conditional_t<std::is_lvalue_reference_v<X>, const Tensor&, Tensor>>{std::forward<X>(x)};
  } else {
    return read_only(as_view(x));
  }
}

/// What a pair holds of a gradient: a view, so that pairs have one type whatever they were made of.
template <class Grad>
auto kept_layer_gradient(Grad&& grad) {
  using G = std::decay_t<Grad>;
  if constexpr (std::is_same_v<G, NoGradient>) {
    return grad;
  } else if constexpr (is_tensor<G>::value) {
    return kept_gradient(std::forward<Grad>(grad), false);
  } else if constexpr (is_kept_gradient<G>::value) {
    if constexpr (is_tensor<std::decay_t<decltype(grad.get())>>::value) {
      return grad;
    } else {
      return gradient_target<void>(grad);
    }
  } else {
    return gradient_target<void>(grad);
  }
}

/// Sets the gradient of a pair of weight 0 to 0; false if only the loss knows whether it is a matrix or maps.
inline bool clear_gradient(const char*, NoGradient) {
  return true;
}
template <class View>
bool clear_gradient(const char* who, const GradientTarget<View>& grad) {
  require_view(who, "grad", grad.view);
  for (std::size_t i = 0; !grad.accumulate && i < samples_of(grad.view); ++i) fill_row(grad.view, i, 0);
  return true;
}
template <class G>
bool clear_gradient(const char*, const KeptGradient<G>&) {
  return false;
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

/// What the host's TensorViews says of the tensor, with constant elements.
template <class Tensor>
struct TensorViews<detail::KeptTensor<Tensor>> {
  using Views = TensorViews<std::decay_t<Tensor>>;
  static auto matrix(const detail::KeptTensor<Tensor>& x) { return detail::read_only(Views::matrix(x.tensor)); }
  static auto feature_map(const detail::KeptTensor<Tensor>& x) {
    return detail::read_only(Views::feature_map(x.tensor));
  }
};

/// layer_pair(student, teacher, grad, weight), for matrices, feature maps or a host's tensors; grad may be add_to(grad).
template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
auto layer_pair(Student&& student, Teacher&& teacher, Grad&& grad, double weight) {
  auto s = detail::kept_layer(std::forward<Student>(student));
  auto t = detail::kept_layer(std::forward<Teacher>(teacher));
  auto g = detail::kept_layer_gradient(std::forward<Grad>(grad));
  return LayerPair<decltype(s), decltype(t), decltype(g)>{std::move(s), std::move(t), std::move(g), weight};
}
/// layer_pair(student, teacher, weight), for the value only.
template <class Student, class Teacher>
auto layer_pair(Student&& student, Teacher&& teacher, double weight) {
  return layer_pair(std::forward<Student>(student), std::forward<Teacher>(teacher), detail::NoGradient{}, weight);
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
/// A student's layer may stand in several pairs: its gradient is then add_to(grad) in all but the first. A pair of
/// weight 0 is not read, and its gradient is 0 (a host's tensor is set to 0 by the loss, called with weight 0). Weights
/// are checked first. Then each pair is a call of the loss, with the options: so what is wrong with a pair is reported
/// before anything of it is written, but earlier pairs may already have been written. There must be no `options.losses`,
/// which has room for one layer.
template <class Loss, class Pairs>
double sum_over_layers(const Loss& loss, const Pairs& pairs, const RowOptions& options = {}) {
  constexpr const char* who = "sum_over_layers";
  if (options.losses) detail::fail(who, "losses is given, expected none: call the loss for a single layer's");
  std::size_t index = 0;
  for (const auto& pair : pairs) {
    if (!(pair.weight >= 0) || !std::isfinite(pair.weight)) {
      detail::fail(who, "the weight of pair ", index, " is ", pair.weight, ", expected a finite number of at least 0");
    }
    ++index;
  }
  double sum = 0;
  for (const auto& pair : pairs) {
    if (pair.weight == 0 && detail::clear_gradient(who, pair.grad)) continue;
    sum += detail::layer_loss(loss, pair, options);
  }
  return sum;
}

}  // namespace DISTILL_ABI
}  // namespace distill
