// Whether the student's neurons are active where the teacher's are: a hinge on the sign of hidden features.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/rows/pair_rows.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {

namespace detail {

/// max(margin - s, 0)^2 where t > 0, max(margin + s, 0)^2 elsewhere
template <class N>
struct SquaredHinge {
  typename N::Scalar margin;

  typename N::Scalar padding() const { return -margin; }
  N value(N s, N t) const {
    const N h = hinge(s, t);
    return nan_unless_finite(s, t, h * h);
  }
  N slope(N s, N t) const {
    const N zero(typename N::Scalar(0)), h = hinge(s, t) + hinge(s, t);
    return select(zero < t, zero - h, h);
  }

 private:
  N hinge(N s, N t) const {
    const N zero(typename N::Scalar(0));
    return larger(N(margin) + select(zero < t, zero - s, s), zero);
  }
};

}  // namespace detail

/// Activation boundary transfer: a neuron of the student should be active, by a margin, exactly where the teacher's is;
/// how strongly the teacher's is active does not count:
///
///     loss = weight / divisor * sum_i w_i sum_j D(student_ij, teacher_ij)
///     D(s, t) = max(margin - s, 0)^2 where t > 0, max(margin + s, 0)^2 elsewhere
///
/// Shapes      student, teacher, grad: rows x cols, one sample per row, before the ReLU: float, double, half or
///             bfloat16; the teacher's type may differ, grad has the student's. Computed in double if either is double,
///             else in float. A map of N x C x H x W is N rows of C*H*W
/// Ranges      margin >= 0 and finite, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor times -2 max(margin - s, 0) where t > 0, 2 max(margin + s, 0) elsewhere
/// Divisor     Reduction::mean, the default, is the mean over rows of the sum over columns; Reduction::per_element the
///             mean over elements
/// Exceptions  a teacher of 0 is inactive. A row with NaN or an infinity has loss and gradient NaN. Hinges whose
///             squares overflow or underflow are computed in a wider type
/// Throws      std::invalid_argument on a parameter out of range, shapes that differ, 0 columns, null, a stride below
///             cols, memory that overlaps, row weights of another length, negative or not finite; before anything is
///             written
/// Cost        one read of student and teacher, one write of grad; no scratch
/// Conventions published code averages over the batch, with a factor of 3 / 1000, and 1/2, 1/4, ... for layers before
///             the last: set `weight`. The margin is 1 in the paper and 2 in published training
/// Paper       Heo, Lee, Yun, Choi: Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden
///             Neurons, 2019 (arXiv:1811.03233). If widths differ, use Projected (features/projected.hpp)
struct ActivationBoundary {
  double margin = 1;
  double weight = 1;
  Reduction reduction = Reduction::mean;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_features, const Teacher& teacher_features, Grad&& gradient,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "ActivationBoundary";
    if (!(margin >= 0 && margin <= (std::numeric_limits<double>::max)())) {
      detail::fail(who, "margin is ", margin, ", expected a finite number of at least 0");
    }
    const auto call =
        detail::checked_pair(who, *this, as_matrix(student_features), as_matrix(teacher_features), gradient, options);
    return compute(call.student, call.teacher, call.grad, options);
  }

 private:
  template <class S, class T, class G>
  double compute(const MatrixView<S>& student, const MatrixView<T>& teacher, const GradientTarget<MatrixView<G>>& grad,
                 const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const std::size_t n = student.cols;
    const auto terms = [m = margin](std::size_t) {
      return [m](auto lanes, std::size_t, std::size_t) {
        using N = decltype(lanes);
        return detail::SquaredHinge<N>{static_cast<typename N::Scalar>(m)};
      };
    };
    return kernels::reduce_rows(
        {student.rows, n, n}, grad, options, reduction, weight, [](std::size_t) { return false; },
        [&](std::size_t i, double factor) {
          return kernels::pair_row<L>(terms, detail::const_row(student, i), detail::const_row(teacher, i), n, factor,
                                      kernels::gradient_row(grad, i));
        });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
