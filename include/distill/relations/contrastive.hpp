// Each student embedding picks its own teacher embedding out of the batch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/checks.hpp>
#include <distill/core/error.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/products/batch.hpp>
#include <distill/kernels/products/gram.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// In-batch InfoNCE between student and teacher, with the teacher's other samples as negatives:
///
///     loss = weight / divisor * sum_i w_i (ln sum_j exp(z_ij) - z_ii)
///     z_ij = student_i . teacher_j / temperature, with `normalize`, of rows at unit length
///
/// Shapes      student, teacher, grad: rows x cols, one embedding per row. float, double, half or bfloat16; the
///             teacher's type may differ, grad has the student's. Computed in double if either is double, else in float
/// Ranges      temperature > 0 and finite, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor / temperature * sum_j (softmax(z_i)_j - [i = j]) teacher_j; with normalize, then
///             through the student's norm
/// Divisor     Reduction::mean, the default: the sum of w; per_element equals mean, as a sample is one term. A weight
///             applies to a sample's own term; as a negative, each sample that is not ignored counts once
/// Exceptions  with normalize, a sample of zeros stays 0, and its gradient is 0. For a single sample, loss and gradient
///             are 0. NaN or an infinity in a teacher's sample makes all NaN, in a student's sample only its own loss
/// Throws      std::invalid_argument on a parameter out of range, shapes that differ, 0 columns, null, a stride below
///             cols, memory that overlaps, sample weights of another length, negative or not finite, a workspace that
///             is null or too small; before anything is written
/// Cost        two products by Eigen in the calling thread (which may allocate for its blocking), one exponential per
///             pair; workspace: workspace_size(student, teacher), one matrix rows x rows and two panels
/// Conventions this is CRD within a batch, without its memory bank. For both directions, when the teacher learns too,
///             call it again with the roles swapped
/// Paper       van den Oord, Li, Vinyals: Representation Learning with Contrastive Predictive Coding, 2018
///             (arXiv:1807.03748); Tian, Krishnan, Isola: Contrastive Representation Distillation, 2020
///             (arXiv:1910.10699)
struct Contrastive {
  double temperature = 0.07;
  bool normalize = true;
  double weight = 1;
  Reduction reduction = Reduction::mean;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    constexpr const char* who = "Contrastive";
    using C = kernels::batch_compute_t<Student, Teacher>;
    detail::require_positive_finite(who, "temperature", temperature);
    const auto call = kernels::checked_batch<C>(who, *this, memory, student, teacher, grad, options);
    detail::require_same_shape(who, "teacher", call.teacher, "student", call.student);
    return kernels::compute_batch(*this, call, [&](const auto& checked) { return compute<C>(checked, options); });
  }

  /// The size in bytes that RowOptions::workspace needs, if it is passed.
  template <class Student, class Teacher>
  static std::size_t workspace_size(const Student& student, const Teacher& teacher) {
    return kernels::workspace_size<kernels::batch_compute_t<Student, Teacher>>(memory, student, teacher);
  }

 private:
  static constexpr kernels::BatchMemory memory{1, 3};

  /// A slope over a temperature next to 0, so that sums of n of them are numbers; NaN stays.
  template <class C>
  static double within_range(double slope, std::size_t n) {
    const double most = static_cast<double>((std::numeric_limits<C>::max)()) / (4 * static_cast<double>(n));
    return slope > most ? most : slope < -most ? -most : slope;
  }

  template <class C, class Call>
  double compute(const Call& call, const RowOptions& options) const {
    const kernels::Batch<C> batch(call, memory, weight, options);
    if (batch.size == 0) return 0;
    const auto student = kernels::batch_rows(batch, call.student, normalize, batch.vector(0));
    const auto teacher = kernels::batch_rows(batch, call.teacher, normalize, batch.vector(1));
    C* const products = batch.square(0);
    kernels::cross_products(batch, student, teacher, products);
    const double factor = batch.factor(weight, reduction == Reduction::per_element ? Reduction::mean : reduction, 1);
    const std::size_t n = batch.size;
    double* const dots = batch.vector(2);
    batch.for_each([&](std::size_t i) {
      C* const row = products + i * n;
      double largest = -std::numeric_limits<double>::infinity();
      for (std::size_t j = 0; j < n; ++j) largest = (std::max)(largest, static_cast<double>(row[j]));
      // less the largest before the division, which may be beyond the numbers
      const auto z = [&](std::size_t j) { return (static_cast<double>(row[j]) - largest) / temperature; };
      double others = 0;  // without the sample's own term, so that a small loss keeps its digits
      for (std::size_t j = 0; j < n; ++j) {
        if (j != i) others += std::exp(z(j));
      }
      const double own = std::exp(z(i)), sum = own + others;
      batch.losses[i] = own > others ? std::log1p(others / own) : std::log(sum) - z(i);
      if (!call.wants_gradient()) return;
      dots[i] = 0;
      for (std::size_t j = 0; j < n; ++j) {
        const double slope = j == i ? -others / sum : std::exp(z(j)) / sum;
        const double m = within_range<C>(factor * batch.weights[i] * slope / temperature, n);
        dots[i] += m * static_cast<double>(row[j]);
        row[j] = static_cast<C>(m);
      }
    });
    if (call.wants_gradient()) {
      kernels::put_products<kernels::Lanes<C, kernels::DefaultArch>>(batch, products, teacher, student, dots,
                                                                     call.grad);
    }
    return kernels::weighted_loss(factor, batch.sum_losses(options));
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
