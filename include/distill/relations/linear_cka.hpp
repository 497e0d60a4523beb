// Alignment of two representations of a batch, up to rotation and scale.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/products/batch.hpp>
#include <distill/kernels/products/gram.hpp>
#include <distill/kernels/rows/correlation.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Linear centred kernel alignment, as a distance:
///
///     loss = weight * (1 - CKA),  CKA = <K, L> / (|K| |L|),  <K, L> = sum_ij w_i w_j K_ij L_ij
///     K = X X^T, L = Y Y^T X and Y the student's and teacher's features, centred by their weighted means
///
/// Rotating, scaling or shifting the student changes nothing, so different widths need no projection.
///
/// Shapes      student, grad: rows x cols, teacher: rows x any; one sample per row. float, double, half or bfloat16;
///             the teacher's type may differ, grad has the student's. Computed in double if either is double, else in
///             float
/// Ranges      weight finite; the loss is from 0 to 1 times weight. Products of rows must be in range of the computed
///             type, and their squares in range of double: numbers from about 1e-18 to 1e18, in double 1e-75 to 1e75
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant. Each sample's loss is 1 - CKA
/// Gradient    M_ij = w_i w_j (CKA K_ij / |K| - L_ij / |L|) / |K|, 2 M X
/// Divisor     Reduction::mean, the default, and per_element: the batch is one term; sum multiplies it by the sum of w.
///             A sample of weight w counts as w
/// Exceptions  a batch of equal samples is uncorrelated with everything: loss 1, gradient 0. For a single sample loss
///             and gradient are 0. NaN or an infinity in a sample that counts makes the loss and all gradients NaN
/// Throws      std::invalid_argument on weight, batches that differ, 0 columns, null, a stride below cols, memory that
///             overlaps, sample weights of another length, negative or not finite, a workspace that is null or too
///             small; before anything is written
/// Cost        three products by Eigen in the calling thread (which may allocate for its blocking); workspace:
///             workspace_size(student, teacher), two matrices rows x rows and two panels
/// Conventions the biased estimate, with <K, L> over all pairs; CKA is near 1 for few samples with many features
/// Paper       Kornblith, Norouzi, Lee, Hinton: Similarity of Neural Network Representations Revisited, 2019
///             (arXiv:1905.00414)
struct LinearCka {
  double weight = 1;
  Reduction reduction = Reduction::mean;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    using C = kernels::batch_compute_t<Student, Teacher>;
    const auto call = kernels::checked_batch<C>("LinearCka", *this, memory, student, teacher, grad, options);
    return kernels::compute_batch(*this, call, [&](const auto& checked) { return compute<C>(checked, options); });
  }

  /// The size in bytes that RowOptions::workspace needs, if it is passed.
  template <class Student, class Teacher>
  static std::size_t workspace_size(const Student& student, const Teacher& teacher) {
    return kernels::workspace_size<kernels::batch_compute_t<Student, Teacher>>(memory, student, teacher);
  }

 private:
  static constexpr kernels::BatchMemory memory{2, 3};

  template <class C, class Call>
  double compute(const Call& call, const RowOptions& options) const {
    const kernels::Batch<C> batch(call, memory, weight, options);
    if (batch.size == 0) return 0;
    const kernels::BatchRows student{call.student, nullptr, true};
    C *const s = batch.square(0), *const t = batch.square(1);
    kernels::gram(batch, student, s);
    kernels::gram(batch, kernels::BatchRows{call.teacher, nullptr, true}, t);
    const std::size_t n = batch.size;
    double *const row_uu = batch.vector(0), *const row_vv = batch.vector(1), *const row_gap = batch.vector(2);
    const auto total = [&](const double* rows) {
      double sum = 0;
      for (std::size_t i = 0; i < n; ++i) sum += batch.weights[i] * rows[i];
      return sum;
    };
    batch.for_each([&](std::size_t i) {
      row_uu[i] = row_vv[i] = 0;
      for (std::size_t j = 0; j < n; ++j) {
        const double u = static_cast<double>(s[i * n + j]), v = static_cast<double>(t[i * n + j]), w = batch.weights[j];
        row_uu[i] += w * u * u;
        row_vv[i] += w * v * v;
      }
    });
    const double uu = total(row_uu), vv = total(row_vv);
    const double u_scale = uu > 0 ? 1 / std::sqrt(uu) : 0, v_scale = vv > 0 ? 1 / std::sqrt(vv) : 0;
    batch.for_each([&](std::size_t i) {
      row_gap[i] = 0;
      for (std::size_t j = 0; j < n; ++j) {
        const double d = kernels::difference_of_products(static_cast<double>(s[i * n + j]), u_scale,
                                                         static_cast<double>(t[i * n + j]), v_scale);
        row_gap[i] += batch.weights[j] * d * d;
      }
    });
    const kernels::CorrelationDistance r(uu, vv, total(row_gap), 0);
    // of one sample: 0, or NaN; products of Gram matrices are never negative
    const double distance = n == 1 ? uu + vv : (std::min)(r.distance, 1.0);
    for (std::size_t i = 0; i < n; ++i) batch.losses[i] = distance;
    batch.sum_losses(options);
    const double factor = reduction == Reduction::sum ? weight * batch.total_weight : weight;
    if (call.wants_gradient()) {
      batch.for_each([&](std::size_t i) {
        for (std::size_t j = 0; j < n; ++j) {
          const double m = 2 * factor * batch.weights[i] * batch.weights[j];
          s[i * n + j] =
              static_cast<C>(m * r.gradient(static_cast<double>(s[i * n + j]), static_cast<double>(t[i * n + j])));
        }
      });
      kernels::put_products<kernels::Lanes<C, kernels::DefaultArch>>(batch, s, student, student, nullptr, call.grad);
    }
    return kernels::weighted_loss(factor, distance);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
