// The distances between the samples of a batch.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/products/batch.hpp>
#include <distill/kernels/products/distances.hpp>
#include <distill/kernels/products/gram.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Relational knowledge distillation by distances: compares the distances between samples, in units of their means:
///
///     loss = weight / divisor * sum_ij w_i w_j h(d_ij / mean(d) - t_ij / mean(t))
///     d_ij = |student_i - student_j|, t_ij for the teacher; weighted mean over pairs i != j
///     h(x) = x^2 / 2 for |x| < 1, |x| - 1/2 beyond
///
/// Shapes      student, grad: rows x cols, teacher: rows x any; one sample per row. float, double, half or bfloat16;
///             the teacher's type may differ, grad has the student's. Computed in double if either is double, else in
///             float
/// Ranges      weight finite; the loss is >= 0 times weight. Squared distances must be finite in the computed type
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant. A sample's loss is its row's share of the sum
/// Gradient    with g_ij = w_i w_j (h'_ij - sum w w h' d / sum w w d) / mean(d): sum_j 2 g_ij (student_i - student_j) /
///             d_ij; squared: 4 g_ij (student_i - student_j); with normalize, then through the norms
/// Divisor     Reduction::per_element, the default: (sum of w)^2; mean: the sum of w
/// Exceptions  equal samples (with normalize: of one direction) have distance 0 and no gradient from one another;
///             samples that are all equal have distances 0, and no gradient. A sample of zeros stays 0 with normalize,
///             and its gradient is 0. NaN or an infinity in a sample that counts makes the loss and all gradients NaN
/// Throws      std::invalid_argument on weight, batches that differ, 0 columns, null, a stride below cols, memory that
///             overlaps, sample weights of another length, negative or not finite, a workspace that is null or too
///             small; before anything is written
/// Cost        three products by Eigen in the calling thread (which may allocate for its blocking), of centred rows; a
///             close pair is computed from the rows. Workspace: workspace_size(student, teacher), two matrices rows x
///             rows and two panels
/// Conventions the published means: d over rows (rows - 1) pairs, h over rows^2. mdistiller has the option `squared`,
///             mmrazor uses `normalize` by default. Here d has no lower bound
/// Paper       Park, Kim, Lu, Cho: Relational Knowledge Distillation, 2019 (arXiv:1904.05068)
struct RelationalDistance {
  bool squared = false;    ///< d_ij = |student_i - student_j|^2
  bool normalize = false;  ///< use rows at unit length
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    using C = kernels::batch_compute_t<Student, Teacher>;
    const auto call = kernels::checked_batch<C>("RelationalDistance", *this, memory, student, teacher, grad, options);
    return kernels::compute_batch(*this, call, [&](const auto& checked) { return compute<C>(checked, options); });
  }

  /// The size in bytes that RowOptions::workspace needs, if it is passed.
  template <class Student, class Teacher>
  static std::size_t workspace_size(const Student& student, const Teacher& teacher) {
    return kernels::workspace_size<kernels::batch_compute_t<Student, Teacher>>(memory, student, teacher);
  }

 private:
  static constexpr kernels::BatchMemory memory{2, 6};

  template <class C, class Call>
  double compute(const Call& call, const RowOptions& options) const {
    using L = kernels::Lanes<C, kernels::DefaultArch>;
    const kernels::Batch<C> batch(call, memory, weight, options);
    if (batch.size == 0) return 0;
    const auto student = kernels::batch_rows(batch, call.student, normalize, batch.vector(0), true);
    const auto teacher = kernels::batch_rows(batch, call.teacher, normalize, batch.vector(1), true);
    C *const d = batch.square(0), *const t = batch.square(1);
    C* const norms = batch.lane_vector(2);
    double* const row_sums = batch.vector(3);
    const std::size_t n = batch.size;
    const auto sum_rows = [&] {
      double sum = 0;
      for (std::size_t i = 0; i < n; ++i) sum += batch.weights[i] * row_sums[i];
      return sum;
    };
    kernels::gram(batch, teacher, t);
    kernels::products_to_distances<L>(batch, teacher, squared, norms, row_sums, t);
    const double t_sum = sum_rows();
    kernels::gram(batch, student, d);
    kernels::products_to_distances<L>(batch, student, squared, norms, row_sums, d);
    const double d_sum = sum_rows();
    double pairs = batch.total_weight * batch.total_weight;
    for (std::size_t i = 0; i < n; ++i) pairs -= batch.weights[i] * batch.weights[i];
    const double d_scale = d_sum == 0 ? 0 : pairs / d_sum, t_scale = t_sum == 0 ? 0 : pairs / t_sum;
    // in lanes: |d| and the difference of distances in units of their means
    const auto distance_at = [&](std::size_t i, std::size_t j) {
      return kernels::absolute(kernels::load_up_to<L>(d + i * n + j, n - j, 0));
    };
    const L d_lanes(static_cast<C>(d_scale)), t_lanes(static_cast<C>(t_scale));
    const auto difference = [&](std::size_t i, std::size_t j) {
      const L other = kernels::absolute(kernels::load_up_to<L>(t + i * n + j, n - j, 0));
      return kernels::difference_of_products(d_lanes, distance_at(i, j), t_lanes, other);
    };
    // h' is x within [-1, 1], and h is h' (x - h' / 2)
    const auto slope = [](L x) {
      const L one(C(1)), minus_one(C(-1));
      return select(x < minus_one, minus_one, select(one < x, one, x));
    };
    const auto weights_at = [&](std::size_t j) { return kernels::load_up_to<L>(batch.lane_weights + j, n - j, 0); };
    batch.for_each([&](std::size_t i) {
      const auto sums = kernels::sum_row_of<L, 2>(n, [&](std::size_t j) {
        const L x = difference(i, j), h = slope(x), weighted = weights_at(j) * h;
        return std::array<L, 2>{weighted * (x - L(C(0.5)) * h), weighted * distance_at(i, j)};
      });
      batch.losses[i] = sums[0];
      row_sums[i] = sums[1];
    });
    const double along = d_sum == 0 ? 0 : sum_rows() / d_sum;  // the part through the mean
    const double factor = batch.factor(weight, reduction, 2);
    const double total = kernels::weighted_loss(factor, batch.sum_losses(options));
    if (call.wants_gradient()) {
      put_gradient<L>(batch, call, student, norms, [&](std::size_t i, std::size_t j) {
        const L g = slope(difference(i, j)) - L(static_cast<C>(along));
        return L(static_cast<C>(factor * d_scale * 2 * batch.weights[i])) * weights_at(j) * g;
      });
    }
    return total;
  }

  /// From g(i, j), the gradient with respect to d_ij in lanes, for both orders of a pair.
  template <class L, class Call, class Rows, class Gradient>
  void put_gradient(const kernels::Batch<typename L::Scalar>& batch, const Call& call, const Rows& student,
                    const typename L::Scalar* norms, const Gradient& g) const {
    using C = typename L::Scalar;
    const std::size_t n = batch.size;
    C *const d = batch.square(0), *const coefficients = batch.square(1);
    double *const dots = batch.vector(4), *const near_pairs = batch.vector(5);
    // student_i - student_j times c_ij: c of close pairs stays in d, and is applied to the rows themselves
    batch.for_each([&](std::size_t i) {
      const L zero(C(0));
      const auto sums = kernels::sum_row_of<L, 3>(n, [&](std::size_t j) {
        const L stored = kernels::load_up_to<L>(d + i * n + j, n - j, 0), distance = kernels::absolute(stored);
        const L slopes = g(i, j);
        const auto is_zero = distance <= zero;
        const L c = squared ? L(C(2)) * slopes : select(is_zero, zero, slopes / select(is_zero, L(C(1)), distance));
        const L far_c = select(stored <= zero, zero, c), near_c = c - far_c;
        kernels::store_up_to(zero - far_c, coefficients + i * n + j, n - j);
        kernels::store_up_to(near_c, d + i * n + j, n - j);
        const L squares = squared ? distance : distance * distance;
        const L along = c * L(C(0.5)) * (L(norms[i]) - kernels::load_up_to<L>(norms + j, n - j, 0) + squares);
        return std::array<L, 3>{far_c, kernels::absolute(near_c), along};
      });
      d[i * n + i] = 0;
      coefficients[i * n + i] = static_cast<C>(sums[0]);
      near_pairs[i] = sums[1];
      dots[i] = sums[2];
    });
    const auto scale_of = [&](std::size_t i) { return student.inverse_lengths ? student.inverse_lengths[i] : 1; };
    kernels::put_products<L>(batch, coefficients, student, student, dots, call.grad,
                             [&](std::size_t i, std::size_t begin, std::size_t count, C* out) {
                               if (near_pairs[i] == 0) return;
                               const auto row = [&](std::size_t k) { return call.student.row(batch.index[k]) + begin; };
                               for (std::size_t j = 0; j < n; ++j) {
                                 const double c = static_cast<double>(d[i * n + j]);
                                 if (c == 0) continue;
                                 kernels::add_difference(c, row(i), scale_of(i), row(j), scale_of(j), count, out);
                               }
                             });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
