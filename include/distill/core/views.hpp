// Non-owning views of the caller's memory, and functions that make them from the caller's types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <distill/core/error.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// A size, made from any integer type; a negative one is reported.
struct Extent {
  std::size_t value = 0;

  constexpr Extent() = default;
  template <class Integer, class = std::enable_if_t<std::is_integral_v<Integer>>>
  constexpr Extent(Integer size) : value(static_cast<std::size_t>(size)) {
    if constexpr (std::is_signed_v<Integer>) {
      if (size < 0) detail::fail("view", "a size is ", size, ", expected at least 0");
    }
  }
  constexpr operator std::size_t() const noexcept { return value; }
};

/// A matrix in the caller's memory: one sample per row, each row contiguous. `MatrixView{data, rows, cols}`, or with a
/// fourth value, the stride, if rows are padded: element (i, j) is data[i * row_stride + j].
template <class T>
struct MatrixView {
  T* data = nullptr;
  Extent rows;
  Extent cols;
  Extent row_stride = cols;

  T* row(std::size_t i) const noexcept { return data + i * row_stride; }
};
template <class T, class Rows, class Cols>
MatrixView(T*, Rows, Cols) -> MatrixView<T>;
template <class T, class Rows, class Cols, class Stride>
MatrixView(T*, Rows, Cols, Stride) -> MatrixView<T>;

/// Feature maps in the caller's memory: `batch` samples of `channels` maps of height x width positions (for a sequence:
/// length x 1). Channel c of sample n at position p = y * width + x is data[n * batch_stride + c * channel_stride + p *
/// position_stride]. `FeatureMapView{data, n, c, h, w}` is N x C x H x W, and nhwc(data, n, h, w, c) the other usual
/// layout; set strides by name for anything else, such as some channels of a larger map.
template <class T>
struct FeatureMapView {
  T* data = nullptr;
  Extent batch;
  Extent channels;
  Extent height;
  Extent width = 1;
  Extent position_stride = 1;
  Extent channel_stride = height * width * position_stride;
  Extent batch_stride = channels * height * width;

  std::size_t positions() const noexcept { return height * width; }
};
template <class T, class... Sizes>
FeatureMapView(T*, Sizes...) -> FeatureMapView<T>;

/// Maps in the layout N x H x W x C: the channels of a position are adjacent in memory.
template <class T>
FeatureMapView<T> nhwc(T* data, Extent batch, Extent height, Extent width, Extent channels) {
  return {data, batch, channels, height, width, channels, 1};
}

/// Class indices in the caller's memory, one per row, of any integer type.
template <class T>
struct LabelsView {
  const T* data = nullptr;
  Extent size;
};
template <class T, class Size>
LabelsView(T*, Size) -> LabelsView<std::remove_const_t<T>>;

/// How a host's own tensor becomes the view that a loss asks for. Specialise it, and tensors are passed as they are, as
/// student, teacher, labels, gradient and row weights (docs/adapters/your_own_tensor.md):
///
///     template <>
///     struct distill::TensorViews<Tensor> {
///       static MatrixView<float> matrix(const Tensor& t);           // a loss on rows
///       static FeatureMapView<float> feature_map(const Tensor& t);  // a loss on maps
///       static LabelsView<int> labels(const Tensor& t);
///       static MatrixView<float> row(const Tensor& t);              // 1 x size: margins, log_scale, row weights
///     };
///
/// What no call asks for may be left out. What cannot be viewed is for the specialisation to report, by an exception. If
/// constness is part of the tensor's type, overload for `Tensor&` and `const Tensor&`.
template <class Tensor>
struct TensorViews;

namespace detail {

template <class T>
inline constexpr bool always_false = false;

template <class T>
struct is_matrix_view : std::false_type {};
template <class T>
struct is_matrix_view<MatrixView<T>> : std::true_type {};

template <class T>
struct is_feature_map_view : std::false_type {};
template <class T>
struct is_feature_map_view<FeatureMapView<T>> : std::true_type {};

template <class T>
struct is_labels_view : std::false_type {};
template <class T>
struct is_labels_view<LabelsView<T>> : std::true_type {};

// Matrices are recognised by their members, so Eigen need not be included.
template <class M, class = void>
struct is_eigen_like : std::false_type {};
template <class M>
struct is_eigen_like<
    M, std::void_t<decltype(std::declval<M&>().data()), decltype(std::declval<M&>().rows()),
                   decltype(std::declval<M&>().cols()), decltype(std::declval<M&>().outerStride()),
                   decltype(std::declval<M&>().innerStride()), decltype(std::remove_reference_t<M>::IsRowMajor)>>
    : std::true_type {};

template <class M, class = void>
struct is_armadillo_like : std::false_type {};
template <class M>
struct is_armadillo_like<M, std::void_t<decltype(std::declval<M&>().colptr(0)), decltype(std::declval<M&>().n_rows),
                                        decltype(std::declval<M&>().n_cols)>> : std::true_type {};
template <class V, class = void>
struct is_armadillo_vector : std::false_type {};
template <class V>
struct is_armadillo_vector<
    V, std::void_t<decltype(std::declval<V&>().memptr()), decltype(std::declval<V&>().n_elem),
                   std::enable_if_t<std::remove_reference_t<V>::is_row || std::remove_reference_t<V>::is_col>>>
    : std::true_type {};

template <class V, class = void>
struct is_contiguous_range : std::false_type {};
template <class V>
struct is_contiguous_range<
    V, std::void_t<decltype(*std::declval<V&>().data()), decltype(static_cast<std::size_t>(std::declval<V&>().size()))>>
    : std::true_type {};

/// Whether V is likely to be labels.
template <class V, class = void>
struct holds_integers : is_labels_view<std::decay_t<V>> {};
template <class V>
struct holds_integers<V, std::enable_if_t<is_contiguous_range<V>::value>>
    : std::is_integral<std::decay_t<decltype(*std::declval<V&>().data())>> {};

/// Whether TensorViews is specialised for X.
template <class X, class = void>
struct is_tensor : std::false_type {};
template <class X>
struct is_tensor<X, std::void_t<decltype(sizeof(TensorViews<X>))>> : std::true_type {};

template <class M>
void require_unit_inner_stride(const char* who, const M& m) {
  if (m.innerStride() != 1) {
    fail(who, "inner stride is ", m.innerStride(), ", expected 1: elements must be adjacent in memory");
  }
}

/// Whether V holds its numbers side by side: std::vector, std::array, std::span, an Eigen vector, Armadillo's Row or Col.
template <class V>
inline constexpr bool is_vector_like = is_contiguous_range<V>::value || is_armadillo_vector<V>::value;

/// Such a vector as a matrix of one row.
template <class V>
auto vector_view(const char* who, V&& v) {
  if constexpr (is_armadillo_vector<V>::value) {
    return MatrixView<std::remove_reference_t<decltype(*v.memptr())>>{v.memptr(), 1, v.n_elem};
  } else {
    if constexpr (is_eigen_like<V>::value) {
      if (v.rows() != 1 && v.cols() != 1) fail(who, "a ", v.rows(), " x ", v.cols(), " matrix, expected a vector");
      require_unit_inner_stride(who, v);
    }
    return MatrixView<std::remove_reference_t<decltype(*v.data())>>{v.data(), 1, v.size()};
  }
}

}  // namespace detail

/// A view of `matrix`: a MatrixView, Eigen's row-major matrix, map, block or vector, or a host's tensor (nothing is
/// copied).
template <class M>
auto as_matrix(M&& matrix) {
  using Matrix = std::remove_cv_t<std::remove_reference_t<M>>;
  if constexpr (detail::is_matrix_view<Matrix>::value) {
    return matrix;
  } else if constexpr (detail::is_tensor<Matrix>::value) {
    return TensorViews<Matrix>::matrix(matrix);
  } else if constexpr (detail::is_eigen_like<M>::value) {
    static_assert(bool(Matrix::IsRowMajor),
                  "distill: this matrix is column-major. If each COLUMN is a sample, write samples_in_columns(m); if "
                  "each row is, hold it as Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>");
    detail::require_unit_inner_stride("as_matrix", matrix);
    return MatrixView<std::remove_reference_t<decltype(*matrix.data())>>{matrix.data(), matrix.rows(), matrix.cols(),
                                                                         matrix.outerStride()};
  } else {
    static_assert(!detail::is_armadillo_like<M>::value,
                  "distill: Armadillo's matrices are column-major. If each COLUMN is a sample, write "
                  "samples_in_columns(m)");
    static_assert(!detail::holds_integers<M>::value,
                  "distill: integers where a matrix is expected. The order is student, teacher, labels, gradient");
    static_assert(
        detail::always_false<M>,
        "distill: not a matrix that can be viewed. Pass MatrixView{pointer, rows, cols}, or Eigen's row-major "
        "matrix, map or block; evaluate an expression such as a + b into a matrix first");
    return MatrixView<const float>{};
  }
}

/// A view of `maps`: a FeatureMapView, or a host's tensor.
template <class M>
auto as_feature_map(M&& maps) {
  using Maps = std::remove_cv_t<std::remove_reference_t<M>>;
  if constexpr (detail::is_tensor<Maps>::value) {
    return TensorViews<Maps>::feature_map(maps);
  } else {
    static_assert(
        detail::is_feature_map_view<Maps>::value,
        "distill: not feature maps. Pass FeatureMapView{pointer, batch, channels, height, width} for N x C x H x W, "
        "or nhwc(pointer, batch, height, width, channels)");
    return maps;
  }
}

/// A view of a column-major matrix (Eigen's default; Armadillo's) in which each column is a sample.
template <class M>
auto samples_in_columns(M&& matrix) {
  using Matrix = std::remove_cv_t<std::remove_reference_t<M>>;
  if constexpr (detail::is_eigen_like<M>::value) {
    static_assert(!bool(Matrix::IsRowMajor),
                  "distill: samples_in_columns() takes a column-major matrix; pass a row-major one as it is");
    detail::require_unit_inner_stride("samples_in_columns", matrix);
    return MatrixView<std::remove_reference_t<decltype(*matrix.data())>>{matrix.data(), matrix.cols(), matrix.rows(),
                                                                         matrix.outerStride()};
  } else if constexpr (detail::is_armadillo_like<M>::value) {
    auto* const data = matrix.colptr(0);  // also for part of a matrix, whose columns are further apart
    const std::size_t stride = matrix.n_cols > 1 ? static_cast<std::size_t>(matrix.colptr(1) - data) : matrix.n_rows;
    return MatrixView<std::remove_reference_t<decltype(*data)>>{data, matrix.n_cols, matrix.n_rows, stride};
  } else {
    static_assert(
        detail::always_false<M>,
        "distill: samples_in_columns() takes Eigen's column-major matrix, map or block, or Armadillo's matrix "
        "or subview");
    return MatrixView<const float>{};
  }
}

/// A view of `labels`: a LabelsView, or integers in anything contiguous with data() and size() (std::vector,
/// std::array, std::span, an Eigen vector) or in Armadillo's Row or Col.
template <class L>
auto as_labels(const L& labels) {
  if constexpr (detail::is_labels_view<L>::value) {
    return labels;
  } else if constexpr (detail::is_tensor<L>::value) {
    return TensorViews<L>::labels(labels);
  } else if constexpr (detail::is_vector_like<const L>) {
    const auto row = detail::vector_view("as_labels", labels);
    using Label = std::remove_const_t<std::remove_pointer_t<decltype(row.data)>>;
    static_assert(std::is_integral_v<Label> && !std::is_same_v<Label, bool>,
                  "distill: labels are class indices and must be of an integer type. Convert them first");
    return LabelsView<Label>{row.data, row.cols};
  } else {
    static_assert(
        detail::always_false<L>,
        "distill: not labels that can be viewed. Pass LabelsView{pointer, size}, or something contiguous with "
        "data() and size() that holds integers. The order is student, teacher, labels, gradient");
    return LabelsView<int>{};
  }
}

namespace detail {

/// Whether V is a view for gradients, in addition to the matrices that as_matrix() accepts.
template <class V>
struct is_gradient_view : is_feature_map_view<V> {};

/// Anything a gradient can be written to, as a view.
template <class V>
auto as_view(V&& v) {
  if constexpr (is_gradient_view<std::decay_t<V>>::value) {
    return v;
  } else {
    return as_matrix(v);
  }
}

/// A vector as a matrix of one row: anything contiguous with data() and size(), Armadillo's Row or Col, or a MatrixView.
template <class V>
auto as_row(V&& v, const char* who = "as_row") {
  using Vector = std::remove_cv_t<std::remove_reference_t<V>>;
  if constexpr (is_matrix_view<Vector>::value) {
    return v;
  } else if constexpr (is_tensor<Vector>::value) {
    return TensorViews<Vector>::row(v);
  } else {
    static_assert(
        is_vector_like<V>,
        "distill: not a vector that can be viewed. Pass MatrixView{pointer, 1, size}, or something contiguous "
        "with data() and size()");
    return vector_view(who, v);
  }
}

template <class View>
using element_t = std::remove_reference_t<decltype(*std::declval<const View&>().data)>;

/// How many samples a view has.
template <class T>
std::size_t samples_of(const MatrixView<T>& m) {
  return m.rows;
}
template <class T>
std::size_t samples_of(const FeatureMapView<T>& m) {
  return m.batch;
}

/// The view with constant elements, so that a loss is compiled once for both.
template <class T>
MatrixView<const T> read_only(const MatrixView<T>& m) {
  return {m.data, m.rows, m.cols, m.row_stride};
}
template <class T>
FeatureMapView<const T> read_only(const FeatureMapView<T>& m) {
  return {m.data, m.batch, m.channels, m.height, m.width, m.position_stride, m.channel_stride, m.batch_stride};
}

/// The view of writable elements for a view of constant ones.
template <class View>
struct writable;
template <class T>
struct writable<MatrixView<const T>> {
  using type = MatrixView<T>;
};
template <class T>
struct writable<FeatureMapView<const T>> {
  using type = FeatureMapView<T>;
};
template <class View>
using writable_t = typename writable<View>::type;

template <class T>
const T* const_row(const MatrixView<T>& m, std::size_t i) noexcept {
  return m.row(i);
}

}  // namespace detail

/// One number for each row, in the caller's memory: a vector as it is (anything contiguous with data() and size(), or
/// Armadillo's Row or Col), or `{pointer, rows}`. It refers to the vector, as all views do: a temporary one lasts for
/// the call that it is written in, `kl(student, teacher, {.weights = weights_of(batch)})`, and not longer.
/// Default-constructed there is none.
template <class T>
class PerRow {
 public:
  PerRow() = default;
  PerRow(T* data, Extent size) : data_(data), size_(size), is_given_(true) {}
  /// For the error of a pointer to another type.
  template <class U, class = std::enable_if_t<!std::is_convertible_v<U*, T*>>>
  PerRow(U*, Extent) {
    (void)fits<U*>();
  }

  template <class V, class = std::enable_if_t<!std::is_same_v<std::decay_t<V>, PerRow>>>
  PerRow(V&& vector) : is_given_(true) {
    if constexpr (detail::is_vector_like<V> || detail::is_tensor<std::decay_t<V>>::value) {
      const auto row = detail::as_row(vector, "row weights or losses");
      if constexpr (fits<decltype(row.data)>()) {
        data_ = row.data;
        size_ = row.cols;
      }
    } else {
      static_assert(detail::always_false<V>,
                    "distill: row weights and losses have a length, which is checked. Pass the vector itself, or "
                    "{pointer, rows}");
    }
  }

  /// Whether a vector was given, even an empty one.
  explicit operator bool() const noexcept { return is_given_; }
  T* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  T& operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  template <class Pointer>
  static constexpr bool fits() {
    constexpr bool is_fit = std::is_convertible_v<Pointer, T*>;
    static_assert(is_fit,
                  "distill: row weights are float, and the losses of rows go to double that can be written to. "
                  "Convert weights of another type first: std::vector<float>(w.begin(), w.end())");
    return is_fit;
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
  bool is_given_ = false;
};
}  // namespace DISTILL_ABI
}  // namespace distill
