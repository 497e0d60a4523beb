// Where a gradient goes: it overwrites the memory, or is added to it.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

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

namespace kernels {

/// Where the gradient of one row goes; without data: nowhere.
template <class T>
struct GradientRow {
  T* data = nullptr;
  bool accumulate = false;

  explicit operator bool() const { return data != nullptr; }
};

template <class T>
GradientRow<T> gradient_row(const GradientTarget<MatrixView<T>>& grad, std::size_t i) {
  return {grad.view.data ? grad.view.row(i) : nullptr, grad.accumulate};
}

}  // namespace kernels

namespace detail {

template <class V, class = void>
struct has_plain_object : std::false_type {};
template <class V>
struct has_plain_object<V, std::void_t<typename V::PlainObject>> : std::true_type {};

/// Whether V owns its numbers, as Eigen's matrices and a std::vector do. A view does not, nor does a reference.
template <class V>
constexpr bool owns_memory() {
  if constexpr (std::is_reference_v<V> || is_tensor<std::remove_const_t<V>>::value) {
    return false;
  } else if constexpr (has_plain_object<V>::value) {
    return std::is_same_v<std::remove_const_t<V>, typename V::PlainObject>;
  } else if constexpr (is_vector_like<V> && !holds_integers<V>::value) {
    using Vector = std::remove_const_t<V>;
    const auto is_const = [](auto* numbers) { return std::is_const_v<std::remove_pointer_t<decltype(numbers)>>; };
    using Own = decltype(vector_view("", std::declval<Vector&>()).data);
    using OfConst = decltype(vector_view("", std::declval<const Vector&>()).data);
    return !is_const(Own{}) && is_const(OfConst{});  // a view's constness is not that of its numbers
  } else {
    return false;
  }
}

/// Whether the argument `Grad&& grad` may be a gradient, rather than the options.
template <class Grad>
struct is_gradient_argument : std::bool_constant<!std::is_convertible_v<Grad&&, RowOptions>> {
  static_assert(!owns_memory<Grad>(),
                "distill: this gradient is a temporary matrix, gone with the call. Pass a matrix that has a name, or a "
                "view of one");
};
template <class Grad>
using enable_if_gradient = std::enable_if_t<is_gradient_argument<Grad>::value>;

/// A gradient that is no view yet: the loss knows whether it is a matrix, maps or a vector. G is a reference to what has
/// a name and may own its memory, else the view or the handle itself.
template <class G>
struct KeptGradient {
  G grad;
  bool accumulate;

  /// A const copy of a view is still a view of what can be written to.
  std::remove_reference_t<G>& get() const { return const_cast<std::remove_reference_t<G>&>(grad); }
};
template <class G>
auto kept_gradient(G&& grad, bool accumulate) {
  using Value = std::remove_reference_t<G>;
  constexpr bool by_reference =
      std::is_lvalue_reference_v<G> && (owns_memory<Value>() || is_tensor<std::remove_const_t<Value>>::value);
  return KeptGradient<std::conditional_t<by_reference, G, Value>>{std::forward<G>(grad), accumulate};
}

}  // namespace detail

/// Adds the gradient to what `grad` holds: `kl(student, teacher, add_to(grad))`. It takes what the call takes as a
/// gradient: a matrix, feature maps, a vector or a host's tensor.
template <class G, class = detail::enable_if_gradient<G>>
auto add_to(G&& grad) {
  using View = std::decay_t<G>;
  if constexpr (detail::is_matrix_view<View>::value || detail::is_gradient_view<View>::value) {
    return GradientTarget<View>{grad, true};
  } else {
    return detail::kept_gradient(std::forward<G>(grad), true);
  }
}

namespace detail {

/// The gradient argument of a call that wants none.
struct NoGradient {};

template <class T>
struct is_gradient_target : std::false_type {};
template <class View>
struct is_gradient_target<GradientTarget<View>> : std::true_type {};

template <class T>
struct is_kept_gradient : std::false_type {};
template <class G>
struct is_kept_gradient<KeptGradient<G>> : std::true_type {};

/// The caller's `grad` as a GradientTarget, viewed by `view_of`.
template <class Grad, class ViewOf>
auto viewed_gradient(Grad&& grad, const ViewOf& view_of) {
  using G = std::decay_t<Grad>;
  const auto target = [&](auto& memory, bool accumulate) {
    const auto view = view_of(memory);
    return GradientTarget<std::remove_const_t<decltype(view)>>{view, accumulate};
  };
  if constexpr (is_gradient_target<G>::value) {
    return grad;
  } else if constexpr (is_kept_gradient<G>::value) {
    return target(grad.get(), grad.accumulate);
  } else {
    return target(grad, false);
  }
}

/// The caller's `grad` as a GradientTarget; NoGradient becomes one with an empty View.
template <class View, class Grad>
auto gradient_target(Grad&& grad) {
  if constexpr (std::is_same_v<std::decay_t<Grad>, NoGradient>) {
    return GradientTarget<View>{};
  } else {
    return viewed_gradient(grad, [](auto& memory) {
      if constexpr (is_feature_map_view<View>::value && is_tensor<std::decay_t<decltype(memory)>>::value) {
        return as_feature_map(memory);
      } else {
        return as_view(memory);
      }
    });
  }
}

/// The same for a vector.
template <class Grad>
auto row_gradient_target(Grad&& grad) {
  return viewed_gradient(grad, [](auto& memory) { return as_row(memory); });
}

/// Calls body(element) for each number of a sample's gradient.
template <class T, class Body>
void for_each_element(const MatrixView<T>& view, std::size_t i, const Body& body) {
  for (std::size_t j = 0; j < view.cols; ++j) body(view.row(i) + j);
}
template <class T, class Body>
void for_each_element(const FeatureMapView<T>& view, std::size_t i, const Body& body) {
  for (std::size_t c = 0; c < view.channels; ++c) {
    T* const map = view.data + i * view.batch_stride + c * view.channel_stride;
    for (std::size_t p = 0; p < view.positions(); ++p) body(map + p * view.position_stride);
  }
}

/// Sets a sample's whole gradient.
template <class View>
void fill_row(const View& view, std::size_t i, float value) {
  for_each_element(view, i, [&](auto* element) { store_scalar(element, value); });
}

}  // namespace detail
}  // namespace DISTILL_ABI
}  // namespace distill
