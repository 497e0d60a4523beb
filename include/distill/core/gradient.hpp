// Where a gradient goes: it overwrites the memory, or is added to it.
#pragma once

#include <cstddef>
#include <type_traits>

#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// A view that receives a gradient.
template <class View>
struct GradientTarget {
  View view;
  bool accumulate = false;
};

namespace detail {

/// Whether V is an Eigen matrix that owns its numbers, not a view.
template <class V, class = void>
struct owns_memory : std::false_type {};
template <class V>
struct owns_memory<V, std::void_t<typename V::PlainObject>>
    : std::is_same<std::remove_const_t<V>, typename V::PlainObject> {};

/// Whether the argument `Grad&& grad` may be a gradient, rather than the options.
template <class Grad>
struct is_gradient_argument : std::bool_constant<!std::is_convertible_v<Grad&&, RowOptions>> {
  static_assert(!owns_memory<Grad>::value,
                "distill: this gradient is a temporary matrix, gone with the call. Pass a matrix that has a name, or a "
                "view of one");
};
template <class Grad>
using enable_if_gradient = std::enable_if_t<is_gradient_argument<Grad>::value>;

}  // namespace detail

/// Adds the gradient to what `grad` holds: `kl(student, teacher, add_to(grad))`.
template <class G, class = detail::enable_if_gradient<G>>
auto add_to(G&& grad) {
  const auto view = detail::as_view(grad);
  return GradientTarget<std::remove_const_t<decltype(view)>>{view, true};
}

namespace detail {

/// The gradient argument of a call that wants none.
struct NoGradient {};

template <class T>
struct is_gradient_target : std::false_type {};
template <class View>
struct is_gradient_target<GradientTarget<View>> : std::true_type {};

/// The caller's `grad` as a GradientTarget; NoGradient becomes one with an empty View.
template <class View, class Grad>
auto gradient_target(Grad&& grad) {
  using G = std::decay_t<Grad>;
  if constexpr (std::is_same_v<G, NoGradient>) {
    return GradientTarget<View>{};
  } else if constexpr (is_gradient_target<G>::value) {
    return grad;
  } else if constexpr (is_tensor<G>::value && is_feature_map_view<View>::value) {
    const auto view = TensorViews<G>::feature_map(grad);
    return GradientTarget<std::remove_const_t<decltype(view)>>{view, false};
  } else {
    const auto view = as_view(grad);
    return GradientTarget<std::remove_const_t<decltype(view)>>{view, false};
  }
}

/// Sets a sample's whole gradient.
template <class T>
void fill_row(const MatrixView<T>& view, std::size_t i, float value) {
  for (std::size_t j = 0; j < view.cols; ++j) store_scalar(view.row(i) + j, value);
}
template <class T>
void fill_row(const FeatureMapView<T>& view, std::size_t i, float value) {
  for (std::size_t c = 0; c < view.channels; ++c) {
    T* const map = view.data + i * view.batch_stride + c * view.channel_stride;
    for (std::size_t p = 0; p < view.positions(); ++p) store_scalar(map + p * view.position_stride, value);
  }
}

}  // namespace detail
}  // namespace DISTILL_ABI
}  // namespace distill
