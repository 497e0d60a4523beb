// Distance between hidden features of student and teacher.
#pragma once

#include <cstddef>
#include <limits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/rows/feature_row.hpp>
#include <distill/kernels/rows/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// How far a student's feature row s is from the teacher's t, with d = s - t.
enum class FeatureDistance {
  squared,    ///< sum_j d_j^2
  absolute,   ///< sum_j |d_j|
  smooth_l1,  ///< sum_j d_j^2 / (2 delta) where |d_j| < delta, |d_j| - delta / 2 elsewhere (PyTorch's SmoothL1Loss)
  huber,      ///< delta times smooth_l1 (PyTorch's HuberLoss)
  cosine,     ///< 1 - s . t / (|s| |t|)
};

/// Distance between hidden features (hints, embeddings, hidden states) of the same width:
///
///     loss = weight / divisor * sum_i w_i D(s_i, t_i)
///     D by `distance`; with `normalize` of s_i / |s_i| and t_i / |t_i| (the cosine is the same)
///
/// Shapes      student, teacher, grad: rows x cols, one sample (or token) per row: float, double, half or bfloat16; the
///             teacher's type may differ, grad has the student's. Computed in double if either is double, else in
///             float. A map of N x C x H x W is N rows of C*H*W
/// Ranges      delta > 0 and finite, weight finite; the loss is >= 0 times weight, D of cosine from 0 to 2
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor times: squared 2 d_j; absolute sign(d_j), 0 at 0; smooth_l1 d_j / delta, clipped
///             to [-1, 1]; cosine (s_j / |s| * cos - t_j / |t|) / |s|; with normalize (g - s (s . g) / |s|^2) / |s| for
///             the gradient g with respect to s / |s|
/// Divisor     Reduction::per_element, the default, is the mean over elements (cosine: a row is one element)
/// Exceptions  a row of norm 0 is normalised to 0 and its gradient is 0; the cosine with it is 0, the distance 1. A row
///             with NaN or an infinity has loss and gradient NaN. Differences whose squares overflow or underflow are
///             computed in a wider type
/// Throws      std::invalid_argument on a parameter out of range, shapes that differ, 0 columns, null, a stride below
///             cols, memory that overlaps, row weights of another length, negative or not finite; before anything is
///             written
/// Cost        one read of student and teacher, one write of grad (normalised: the row is read again from cache); no
///             scratch
/// Conventions published code averages over all elements (hint losses, hidden states: squared or smooth_l1 with the
///             defaults), or sums over a row and averages over rows (patient distillation: squared, normalize,
///             Reduction::mean); none halves the square
/// Paper       Romero et al.: FitNets: Hints for Thin Deep Nets, 2015 (arXiv:1412.6550). If widths differ, use
///             Projected (features/projected.hpp)
struct FeatureMatching {
  FeatureDistance distance = FeatureDistance::squared;
  double delta = 1;  ///< for smooth_l1 and huber
  bool normalize = false;
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_features, const Teacher& teacher_features, Grad&& gradient,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "FeatureMatching";
    if (distance < FeatureDistance::squared || distance > FeatureDistance::cosine) {
      detail::fail(who, "distance is ", static_cast<int>(distance), ", expected a FeatureDistance");
    }
    detail::require_positive_finite(who, "delta", delta);
    const auto call =
        detail::checked_pair(who, *this, as_matrix(student_features), as_matrix(teacher_features), gradient, options);
    return compute(call.student, call.teacher, call.grad, options);
  }

 private:
  template <class C>
  static constexpr C largest = (std::numeric_limits<C>::max)();

  template <class S, class T, class G>
  double compute(const MatrixView<S>& student, const MatrixView<T>& teacher, const GradientTarget<MatrixView<G>>& grad,
                 const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const std::size_t n = student.cols;
    const auto reduce = [&](std::size_t terms, const auto& row) {
      return kernels::reduce_rows(
          {student.rows, n, terms}, grad, options, reduction, weight, [](std::size_t) { return false; },
          [&](std::size_t i, double factor) {
            return row(detail::const_row(student, i), detail::const_row(teacher, i), factor,
                       kernels::gradient_row(grad, i));
          });
    };
    const auto of_elements = [&](const auto& f, double scale) {
      return reduce(n, [&](const auto* s, const auto* t, double factor, const kernels::GradientRow<G>& grad_row) {
        factor *= scale;
        return scale * (normalize ? kernels::unit_difference_row<L>(f, kernels::Outer::sum, s, t, n, factor, grad_row)
                                  : kernels::difference_row<L>(f, s, t, n, factor, grad_row));
      });
    };
    if (distance == FeatureDistance::squared) return of_elements(kernels::SquaredDifference{}, 1);
    if (distance == FeatureDistance::absolute) return of_elements(kernels::AbsoluteDifference{}, 1);
    if (distance == FeatureDistance::smooth_l1) {
      // terms that neither overflow nor vanish: unit rows are no further apart than 2
      const bool divides = normalize ? delta < 1 : delta <= static_cast<double>(largest<typename L::Scalar>);
      return of_elements(kernels::SmoothDifference{delta, divides}, divides ? 1 : 1 / delta);
    }
    if (distance == FeatureDistance::huber) {
      const bool divides = delta < 1;
      return of_elements(kernels::SmoothDifference{delta, divides}, divides ? delta : 1);
    }
    return reduce(1, [&](const auto* s, const auto* t, double factor, const kernels::GradientRow<G>& grad_row) {
      return kernels::cosine_row<L>(s, t, n, factor, grad_row);
    });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
