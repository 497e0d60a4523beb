// Where a gradient goes: it overwrites what is there, or is added to it.
#pragma once

#include <type_traits>

#include <distill/core/version.hpp>
#include <distill/core/views.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// A matrix that receives a gradient.
template <class T>
struct GradientTarget {
  MatrixView<T> view;
  bool accumulate = false;
};

/// Says that the gradient is to be added to what `grad` holds: `kl(student, teacher, add_to(grad))`.
template <class M>
auto add_to(M&& grad) {
  const auto view = as_matrix(grad);
  return GradientTarget<std::remove_reference_t<decltype(*view.data)>>{view, true};
}

namespace detail {

/// Stands where a call asks for no gradient.
struct NoGradient {};

template <class T>
struct is_gradient_target : std::false_type {};
template <class T>
struct is_gradient_target<GradientTarget<T>> : std::true_type {};

/// What a caller passed as `grad`, as a GradientTarget. NoGradient becomes one of null.
template <class Scalar, class Grad>
auto gradient_target(Grad&& grad) {
  using G = std::decay_t<Grad>;
  if constexpr (std::is_same_v<G, NoGradient>) {
    return GradientTarget<Scalar>{};
  } else if constexpr (is_gradient_target<G>::value) {
    return grad;
  } else {
    const auto view = as_matrix(grad);
    return GradientTarget<std::remove_reference_t<decltype(*view.data)>>{view, false};
  }
}

}  // namespace detail
}  // namespace DISTILL_ABI
}  // namespace distill
