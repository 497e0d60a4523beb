// How a sample's similarity is distributed over the batch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/products/batch.hpp>
#include <distill/kernels/products/distances.hpp>
#include <distill/kernels/products/gram.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Probabilistic knowledge transfer: KL between the conditional probabilities defined by cosines between samples:
///
///     loss = weight / divisor * sum_ij w_i w_j p_ij ln(p_ij / q_ij)
///     q_ij = k_ij / sum_l w_l k_il,  k_ij = (1 + cos(student_i, student_j)) / 2;  p likewise for the teacher
///
/// Shapes      student, grad: rows x cols, teacher: rows x any; one sample per row. float, double, half or bfloat16;
///             the teacher's type may differ, grad has the student's. Computed in double if either is double, else in
///             float
/// Ranges      weight finite; each sample's part is >= 0
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant. A sample's loss is its row's KL
/// Gradient    M_ij = w_i w_j (1 - p_ij / q_ij) / (2 sum_l w_l k_il) for i != j, through the cosines: (sum_j (M +
///             M^T)_ij (u_j - u_i cos_ij)) / |student_i| with u the rows at unit length
/// Divisor     Reduction::per_element, the default: (sum of w)^2; mean: the sum of w, a mean of KLs; a sample of weight
///             w counts as w
/// Exceptions  a sample of zeros has cosine 0 with all, including itself, and gradient 0. A pair that is opposite for
///             the student (q = 0, up to double's rounding) but not for the teacher makes the loss +infinity and adds
///             nothing to the gradient. NaN or an infinity in a sample that counts makes the loss and all gradients NaN
/// Throws      std::invalid_argument on weight, batches that differ, 0 columns, null, a stride below cols, memory that
///             overlaps, sample weights of another length, negative or not finite, a workspace that is null or too
///             small; before anything is written
/// Cost        three products by Eigen in the calling thread (which may allocate for its blocking), one logarithm per
///             pair; a nearly opposite pair is computed from the rows. Workspace: workspace_size(student, teacher), two
///             matrices rows x rows and two panels
/// Conventions the pair (i, i) counts, and the mean is over pairs, as in the authors' code, whose 1e-7 in norms and
///             logarithms is left out
/// Paper       Passalis, Tefas: Learning Deep Representations with Probabilistic Knowledge Transfer, 2018
///             (arXiv:1803.10837)
struct ProbabilisticTransfer {
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    using C = kernels::batch_compute_t<Student, Teacher>;
    const auto call =
        kernels::checked_batch<C>("ProbabilisticTransfer", *this, memory, student, teacher, grad, options);
    return kernels::compute_batch(*this, call, [&](const auto& checked) { return compute<C>(checked, options); });
  }

  /// The size in bytes that RowOptions::workspace needs, if it is passed.
  template <class Student, class Teacher>
  static std::size_t workspace_size(const Student& student, const Teacher& teacher) {
    return kernels::workspace_size<kernels::batch_compute_t<Student, Teacher>>(memory, student, teacher);
  }

 private:
  static constexpr kernels::BatchMemory memory{2, 4};

  /// Turns products of unit rows into 1 + cos. That loses digits where rows are nearly opposite, so values below a
  /// hundredth are computed from the rows, as |u_i + u_j|^2 / 2, and stored as negative numbers, because their gradient
  /// must also be taken from the rows.
  template <class C, class T>
  static void products_to_likeness(const kernels::Batch<C>& batch, const kernels::BatchRows<T>& rows, C* square) {
    const std::size_t n = batch.size;
    batch.for_each([&](std::size_t i) {
      for (std::size_t j = 0; j < n; ++j) {
        C& x = square[i * n + j];
        x = (std::min)(1 + x, C(2));  // in this order NaN stays
        if (!(x < C(0.01))) continue;
        const double both =
            kernels::squared_distance(rows.matrix.row(batch.index[i]), rows.inverse_lengths[i],
                                      rows.matrix.row(batch.index[j]), -rows.inverse_lengths[j], rows.matrix.cols);
        x = both <= kernels::rounding_of_unit_rows ? C(0) : static_cast<C>(-both / 2);
      }
    });
  }
  template <class C>
  static double likeness(C stored) {
    return std::abs(static_cast<double>(stored)) / 2;
  }

  template <class C, class Call>
  double compute(const Call& call, const RowOptions& options) const {
    const kernels::Batch<C> batch(call, memory, weight, options);
    if (batch.size == 0) return 0;
    const auto student = kernels::batch_rows(batch, call.student, true, batch.vector(0));
    const auto teacher = kernels::batch_rows(batch, call.teacher, true, batch.vector(1));
    C *const s = batch.square(0), *const t = batch.square(1);
    kernels::gram(batch, student, s);
    products_to_likeness(batch, student, s);
    kernels::gram(batch, teacher, t);
    products_to_likeness(batch, teacher, t);
    const double factor = batch.factor(weight, reduction, 2);
    const std::size_t n = batch.size;
    batch.for_each([&](std::size_t i) {
      const C* const own = s + i * n;
      C* const row = t + i * n;  // becomes M
      double s_sum = 0, t_sum = 0;
      for (std::size_t j = 0; j < n; ++j) {
        s_sum += batch.weights[j] * likeness(own[j]);
        t_sum += batch.weights[j] * likeness(row[j]);
      }
      double loss = 0;
      for (std::size_t j = 0; j < n; ++j) {
        const double q = likeness(own[j]) / s_sum;
        const double p = likeness(row[j]) / t_sum;
        // p ln(p / q) + q - p is never negative, and the sums of p and q are equal
        if (p > 0 && q == 0)
          loss = std::numeric_limits<double>::infinity();
        else
          loss += batch.weights[j] * (p > 0 ? p * std::log(p / q) + q - p : q);
        const double slope = q == 0 || i == j ? 0 : (1 - p / q) / (2 * s_sum);
        row[j] = static_cast<C>(factor * batch.weights[i] * batch.weights[j] * slope);
      }
      batch.losses[i] = std::isnan(s_sum + t_sum) ? s_sum + t_sum : (std::max)(0.0, loss);
    });
    if (call.wants_gradient()) {
      kernels::add_transpose(t, n);
      put_gradient(batch, call, student, s, t);
    }
    return kernels::weighted_loss(factor, batch.sum_losses(options));
  }

  /// From 1 + cos, as products_to_likeness() stores it, and M + M^T. For a nearly opposite pair, u_i + u_j is added
  /// from the rows; its product with u_i is 1 + cos.
  template <class C, class Call, class Rows>
  static void put_gradient(const kernels::Batch<C>& batch, const Call& call, const Rows& student, C* likenesses, C* m) {
    const std::size_t n = batch.size;
    double *const dots = batch.vector(2), *const near_pairs = batch.vector(3);
    batch.for_each([&](std::size_t i) {
      dots[i] = near_pairs[i] = 0;
      for (std::size_t j = 0; j < n; ++j) {
        C &x = likenesses[i * n + j], &slope = m[i * n + j];
        const bool is_near = x <= 0;  // then the slope overwrites x
        const double along = is_near ? -static_cast<double>(x) : static_cast<double>(x) - 1;
        dots[i] += static_cast<double>(slope) * along;
        near_pairs[i] += is_near ? 1 : 0;
        x = is_near ? slope : C(0);
        if (is_near) slope = 0;
      }
    });
    kernels::put_products<kernels::Lanes<C, kernels::DefaultArch>>(
        batch, m, student, student, dots, call.grad, [&](std::size_t i, std::size_t begin, std::size_t count, C* out) {
          if (near_pairs[i] == 0) return;
          const auto row = [&](std::size_t k) { return call.student.row(batch.index[k]) + begin; };
          const double* const scale = student.inverse_lengths;
          for (std::size_t j = 0; j < n; ++j) {
            const double c = static_cast<double>(likenesses[i * n + j]);
            if (c != 0) kernels::add_difference(c, row(i), scale[i], row(j), -scale[j], count, out);
          }
        });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
