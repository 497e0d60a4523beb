// Which samples of a batch a network considers similar.
#pragma once

#include <cstddef>

#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/products/batch.hpp>
#include <distill/kernels/products/gram.hpp>
#include <distill/kernels/products/similarity.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Similarity-preserving distillation: compares the rows of the batch's Gram matrices at unit length:
///
///     loss = weight / divisor * sum_ij w_i w_j (S_ij - T_ij)^2
///     S_ij = G_ij / |G_i|,  G = student * student^T, |G_i|^2 = sum_j w_j G_ij^2;  T likewise for the teacher
///
/// Shapes      student, grad: rows x cols, teacher: rows x any; one sample per row, a map is one row of all its
///             numbers. float, double, half or bfloat16; the teacher's type may differ, grad has the student's.
///             Computed in double if either is double, else in float
/// Ranges      weight finite; the sum is from 0 to 4 times the number of samples. Products of rows must be in range of
///             the computed type: in float, numbers from about 1e-18 to 1e18, besides 0
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant. A sample's loss is its row's share of the sum
/// Gradient    with e = S - T: M_ij = 2 w_i w_j (e_ij - S_ij sum_k w_k e_ik S_ik) / |G_i|, (M + M^T) student
/// Divisor     Reduction::per_element, the default: (sum of w)^2; mean: the sum of w; a sample of weight w counts as w
/// Exceptions  a sample of zeros is similar to none: its rows and its gradient are 0. For a single sample, loss and
///             gradient are 0. NaN or an infinity in a sample that counts makes the loss and all gradients NaN
/// Throws      std::invalid_argument on weight, batches that differ, 0 columns, null, a stride below cols, memory that
///             overlaps, sample weights of another length, negative or not finite, a workspace that is null or too
///             small; before anything is written
/// Cost        three products by Eigen in the calling thread (which may allocate for its blocking): 2 rows^2 cols
///             multiplications; workspace: workspace_size(student, teacher), two matrices rows x rows and two panels
/// Conventions the Euclidean norm of a row, as in the paper (torchdistill passes the axis as the order: L1)
/// Paper       Tung, Mori: Similarity-Preserving Knowledge Distillation, 2019 (arXiv:1907.09682)
struct SimilarityPreserving {
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    using C = kernels::batch_compute_t<Student, Teacher>;
    const auto call = kernels::checked_batch<C>("SimilarityPreserving", *this, memory, student, teacher, grad, options);
    return kernels::compute_batch(*this, call, [&](const auto& checked) { return compute<C>(checked, options); });
  }

  /// The size in bytes that RowOptions::workspace needs, if it is passed.
  template <class Student, class Teacher>
  static std::size_t workspace_size(const Student& student, const Teacher& teacher) {
    return kernels::workspace_size<kernels::batch_compute_t<Student, Teacher>>(memory, student, teacher);
  }

 private:
  static constexpr kernels::BatchMemory memory{2, 1};

  template <class C, class Call>
  double compute(const Call& call, const RowOptions& options) const {
    using L = kernels::Lanes<C, kernels::DefaultArch>;
    const kernels::Batch<C> batch(call, memory, weight, options);
    if (batch.size == 0) return 0;
    const kernels::BatchRows student{call.student};
    C *const s = batch.square(0), *const t = batch.square(1);
    kernels::gram(batch, student, s);
    kernels::gram(batch, kernels::BatchRows{call.teacher}, t);
    const double factor = batch.factor(weight, reduction, 2);
    const std::size_t n = batch.size;
    double* const lengths = batch.vector(0);
    batch.for_each([&](std::size_t i) {
      const auto row = kernels::similarity_row<L>(s + i * n, t + i * n, n, batch.lane_weights,
                                                  factor * batch.weights[i], call.wants_gradient());
      batch.losses[i] = row.loss;
      lengths[i] = row.length;
    });
    if (call.wants_gradient()) {
      kernels::add_similarity_gradients(s, lengths, n);
      kernels::put_products<L>(batch, s, student, student, nullptr, call.grad);
    }
    return kernels::weighted_loss(factor, batch.sum_losses(options));
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
