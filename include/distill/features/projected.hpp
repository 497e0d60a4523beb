// A loss on features after a learned linear layer, for a student of another width than its teacher.
#pragma once

#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/layers.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/features/feature_matching.hpp>
#include <distill/kernels/products/products.hpp>
#include <distill/kernels/rows/weighted.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// A linear layer: features * weights^T + bias, or the gradient with respect to its parameters.
template <class T>
struct LinearProjection {
  MatrixView<T> weights;  ///< teacher's width x student's width
  MatrixView<T> bias;     ///< 1 x teacher's width; no rows mean no bias
};

/// Takes matrices like as_matrix(); the bias is a row, or anything contiguous with data() and size().
template <class Weights>
auto linear_projection(Weights&& weights) {
  const auto view = as_matrix(weights);
  return LinearProjection<std::remove_reference_t<decltype(*view.data)>>{view, {}};
}
template <class Weights, class Bias>
auto linear_projection(Weights&& weights, Bias&& bias) {
  const auto view = as_matrix(weights);
  return LinearProjection<std::remove_reference_t<decltype(*view.data)>>{view, detail::as_row(bias)};
}

namespace detail {

template <class T>
struct is_gradient_view<LinearProjection<T>> : std::true_type {};

/// A matrix as a factor of a product in C: its memory, or a copy if its type differs.
template <class C, class T>
auto factor_of_product(const MatrixView<T>& m) {
  if constexpr (std::is_same_v<std::remove_const_t<T>, C>) {
    return kernels::eigen_map<const C>(m.data, m.rows, m.cols, m.row_stride);
  } else {
    kernels::RowMajor<C> copy(kernels::eigen_index(m.rows), kernels::eigen_index(m.cols));
    for (std::size_t i = 0; i < m.rows; ++i) {
      for (std::size_t j = 0; j < m.cols; ++j)
        copy(kernels::eigen_index(i), kernels::eigen_index(j)) = load_scalar<C>(m.row(i) + j);
    }
    return copy;
  }
}

/// Passes `body` a matrix to add products to, and stores the sum in `out`, or adds it there.
template <class C, class T, class Body>
void sum_products(const MatrixView<T>& out, bool accumulate, const Body& body) {
  if constexpr (std::is_same_v<T, C>) {
    auto sum = kernels::eigen_map(out.data, out.rows, out.cols, out.row_stride);
    if (!accumulate) sum.setZero();
    body(sum);
  } else {
    kernels::RowMajor<C> sum =
        kernels::RowMajor<C>::Zero(kernels::eigen_index(out.rows), kernels::eigen_index(out.cols));
    body(sum);
    for (std::size_t i = 0; i < out.rows; ++i) {
      for (std::size_t j = 0; j < out.cols; ++j) {
        T* const element = out.row(i) + j;
        const C old = accumulate ? load_scalar<C>(element) : C(0);
        store_scalar(element, old + sum(kernels::eigen_index(i), kernels::eigen_index(j)));
      }
    }
  }
}

/// Calls body(begin, count) for each run of rows that are not ignored.
template <class Body>
void for_each_live_run(std::size_t rows, const PerRow<const float>& weights, const Body& body) {
  for (std::size_t begin = 0; begin < rows; ++begin) {
    std::size_t end = begin;
    while (end < rows && (!weights || weights[end] != 0)) ++end;
    if (end > begin) body(begin, end - begin);
    begin = end;
  }
}

template <class T>
MatrixView<T> middle_rows(const MatrixView<T>& m, std::size_t begin, std::size_t count) {
  return {m.row(begin), count, m.cols, m.row_stride};
}

template <class T>
void require_projection(const char* who, const char* weights_name, const char* bias_name,
                        const LinearProjection<T>& projection, std::size_t outputs, std::size_t inputs) {
  const auto require_shape = [&](const char* name, const MatrixView<T>& m, std::size_t rows, std::size_t cols) {
    require_view(who, name, m);
    if (m.rows != rows || m.cols != cols) {
      fail(who, name, " is ", m.rows, " x ", m.cols, ", expected ", rows, " x ", cols);
    }
  };
  require_shape(weights_name, projection.weights, outputs, inputs);
  if (projection.bias.rows != 0) require_shape(bias_name, projection.bias, 1, outputs);
}

/// Where the parameters' gradients go; checks that they have the parameters' shapes and overlap nothing else.
template <class Weights, class Grad, class Student, class Teacher>
auto checked_parameters(const char* who, const LinearProjection<Weights>& projection, const Grad& grad,
                        const MatrixView<Student>& student, const MatrixView<Teacher>& teacher,
                        const MatrixView<std::remove_const_t<Student>>& grad_student) {
  using View = LinearProjection<std::remove_const_t<Weights>>;
  const auto target = gradient_target<View>(grad);
  static_assert(
      std::is_same_v<std::remove_const_t<decltype(target)>, GradientTarget<View>>,
      "distill: the projection's gradient must be linear_projection(grad_weights, grad_bias) or add_to() of it, "
      "writable and of the weights' scalar type");
  if constexpr (!std::is_same_v<Grad, NoGradient>) {
    const auto weights = target.view.weights;
    const auto bias = target.view.bias;
    require_projection(who, "grad_weights", "grad_bias", target.view, teacher.cols, student.cols);
    if (bias.rows != projection.bias.rows) {
      fail(who, "grad_bias has ", bias.rows, " rows, bias has ", projection.bias.rows);
    }
    const auto require_separate = [&](const char* name, const auto& view) {
      require_no_overlap(who, "grad_weights", weights, name, view, false);
      require_no_overlap(who, "grad_bias", bias, name, view, false);
    };
    require_separate("student", student);
    require_separate("teacher", teacher);
    require_separate("weights", projection.weights);
    require_separate("bias", projection.bias);
    require_separate("grad", grad_student);
    require_no_overlap(who, "grad_weights", weights, "grad_bias", bias, false);
    require_no_overlap(who, "grad", grad_student, "weights", projection.weights, false);
    require_no_overlap(who, "grad", grad_student, "bias", projection.bias, false);
  }
  return target;
}

}  // namespace detail

/// A loss of the projected student: loss(student * weights^T + bias, teacher), with gradients for student, weights and
/// bias (FitNets' hint with its regressor). For example
///
///     Projected hint{FeatureMatching{}};
///     hint(student, linear_projection(weights, bias), teacher,
///          grad_student, linear_projection(grad_weights, grad_bias));
///
/// Shapes      student, grad_student: rows x student's width; teacher: rows x teacher's width; weights: teacher's width
///             x student's width; bias: teacher's width. Each has any of the four scalar types; the product is computed
///             in double if student or weights is double, else in float
/// Returns     the value of `loss`; each gradient is overwritten, or with add_to() added to. grad_student may be
///             exactly the student's memory
/// Gradient    with g = d loss / d (projected student): student g * weights; weights g^T * student; bias the sum of the
///             rows of g
/// Exceptions  as `loss`; a row of weight 0 is never read. A row with NaN makes the parameters' gradients NaN
/// Throws      as `loss`, and std::invalid_argument on shapes that do not fit and memory that overlaps; before anything
///             is written
/// Cost        three products of rows x widths, by Eigen in the calling thread (which may allocate for its blocking);
///             scratch: the projected rows; arguments of two bytes per element are copied
/// Rows        do not depend on the executor; if you split a batch, Eigen's products may differ in the last digits
/// Paper       Romero et al.: FitNets: Hints for Thin Deep Nets, 2015 (arXiv:1412.6550)
template <class Loss>
struct Projected {
  Loss loss;

  template <class Student, class Weights, class Teacher>
  double operator()(const Student& student, const LinearProjection<Weights>& projection, const Teacher& teacher,
                    const RowOptions& options = {}) const {
    return (*this)(student, projection, teacher, detail::NoGradient{}, detail::NoGradient{}, options);
  }

  template <class Student, class Weights, class Teacher, class Grad, class GradProjection,
            class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_features, const LinearProjection<Weights>& projection,
                    const Teacher& teacher_features, Grad&& grad_student, GradProjection&& grad_projection,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "Projected";
    const auto student = detail::read_only(as_matrix(student_features));
    const auto teacher = detail::read_only(as_matrix(teacher_features));
    detail::require_view(who, "student", student);
    detail::require_view(who, "teacher", teacher);
    if (teacher.rows != student.rows) {
      detail::fail(who, "teacher has ", teacher.rows, " rows, student has ", student.rows);
    }
    detail::require_projection(who, "weights", "bias", projection, teacher.cols, student.cols);
    detail::require_weights(who, options.weights, student);
    const auto grad = detail::checked_gradient(who, student, grad_student, teacher);
    const auto grad_parameters =
        detail::checked_parameters(who, projection, grad_projection, student, teacher, grad.view);

    const LinearProjection<const Weights> parameters{detail::read_only(projection.weights),
                                                     detail::read_only(projection.bias)};
    constexpr bool has_gradient = !std::is_same_v<std::decay_t<Grad>, detail::NoGradient>;
    return compute<has_gradient>(student, parameters, teacher, grad, grad_parameters, options);
  }

 private:
  bool has_no_weight() const {
    if constexpr (detail::has_weight<Loss>::value) {
      return loss.weight == 0;
    } else {
      return false;
    }
  }

  template <bool has_gradient, class S, class W, class T, class G, class P>
  double compute(const MatrixView<S>& student, const LinearProjection<W>& projection, const MatrixView<T>& teacher,
                 const GradientTarget<MatrixView<G>>& grad, const GradientTarget<LinearProjection<P>>& grad_projection,
                 const RowOptions& options) const {
    using C = detail::compute_t<S, W>;
    // A run is a block of rows between ignored ones, which are not read.
    const auto weights = detail::factor_of_product<C>(projection.weights);
    const auto student_run = [&](std::size_t begin, std::size_t count) {
      return detail::factor_of_product<C>(detail::middle_rows(student, begin, count));
    };
    detail::ScratchFrame frame;
    const MatrixView<C> projected{frame.take<C>(student.rows * teacher.cols), student.rows, teacher.cols};
    const auto projected_run = [&](std::size_t begin, std::size_t count) {
      return kernels::eigen_map(projected.row(begin), count, teacher.cols);
    };
    std::size_t live_rows = has_no_weight() && !options.losses ? 0 : student.rows.value;
    const auto for_each_run = [&](const auto& body) { detail::for_each_live_run(live_rows, options.weights, body); };
    for_each_run([&](std::size_t begin, std::size_t count) {
      auto rows = projected_run(begin, count);
      rows.noalias() = student_run(begin, count) * weights.transpose();
      if (projection.bias.rows != 0) rows.rowwise() += detail::factor_of_product<C>(projection.bias).row(0);
    });
    if constexpr (!has_gradient) {
      return loss(projected, teacher, options);
    } else {
      const double value = loss(projected, teacher, projected, options);  // the gradient overwrites the rows
      if (has_no_weight()) live_rows = 0;                                 // NaN in the student times 0 would be NaN
      const auto& [grad_weights, grad_bias] = grad_projection.view;
      detail::sum_products<C>(grad_weights, grad_projection.accumulate, [&](auto& sum) {
        for_each_run([&](std::size_t begin, std::size_t count) {
          sum.noalias() += projected_run(begin, count).transpose() * student_run(begin, count);
        });
      });
      if (grad_bias.rows != 0) {
        detail::sum_products<C>(grad_bias, grad_projection.accumulate, [&](auto& sum) {
          for_each_run(
              [&](std::size_t begin, std::size_t count) { sum += projected_run(begin, count).colwise().sum(); });
        });
      }
      detail::sum_products<C>(grad.view, grad.accumulate, [&](auto& sum) {  // last: it may be the student's memory
        for_each_run([&](std::size_t begin, std::size_t count) {
          sum.middleRows(kernels::eigen_index(begin), kernels::eigen_index(count)).noalias() +=
              projected_run(begin, count) * weights;
        });
      });
      return value;
    }
  }
};
template <class Loss>
Projected(Loss) -> Projected<Loss>;

}  // namespace DISTILL_ABI
}  // namespace distill
