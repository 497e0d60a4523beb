// The distances between the samples of a batch.
#pragma once

#include <cmath>
#include <cstddef>

#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/batch.hpp>
#include <distill/kernels/distances.hpp>
#include <distill/kernels/gram.hpp>
#include <distill/kernels/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Relational knowledge distillation by distances: those between the student's samples are the teacher's, in units of
/// their means:
///
///     loss = weight / divisor * sum_ij w_i w_j h(d_ij / mean(d) - t_ij / mean(t))
///     d_ij = |student_i - student_j|, t_ij of the teacher; mean over pairs i != j, weighted
///     h(x) = x^2 / 2 for |x| < 1, |x| - 1/2 beyond
///
/// Shapes      student, grad: rows x cols, teacher: rows x any; one sample a row. float, double, half or bfloat16; the
///             teacher's type is free, grad has the student's. If either is double, all is computed in double, else in
///             float
/// Ranges      weight finite; the loss is >= 0 times weight. Squared distances must be finite in the computed type
/// Returns     the loss; grad (if passed) receives d loss / d student, or is added to with add_to(grad). grad may be
///             exactly the student's memory. The teacher is a constant. A sample's loss is its row's share of the sum
/// Gradient    with g_ij = w_i w_j (h'_ij - sum h' d / sum w w d) / mean(d): sum_j 2 g_ij (student_i - student_j) /
///             d_ij; squared: 4 g_ij (student_i - student_j); with normalize it goes on through the lengths
/// Divisor     Reduction::per_element, the default: (sum of w)^2; mean: the sum of w
/// Exceptions  equal samples have distance 0 and no gradient from one another; samples that are all equal have
///             distances 0, and no gradient. A sample of zeros stays 0 with normalize, and its gradient is 0. NaN or an
///             infinity in a sample that counts makes the loss and all gradients NaN
/// Throws      std::invalid_argument on weight, batches that differ, 0 columns, null, a stride below cols, memory that
///             overlaps, a sample weight that is negative or not finite, a workspace that is too small; before anything
///             is written
/// Cost        three products by Eigen in the calling thread (which may allocate for its blocking), of rows less their
///             mean; a pair that is near is computed from the rows. Workspace: workspace_size(student, teacher), two
///             matrices rows x rows and two panels
/// Conventions the published means: of d over rows (rows - 1) pairs, of h over rows^2. `squared` is an option of
///             mdistiller, `normalize` the default of mmrazor. None bounds d from below here
/// Paper       Park, Kim, Lu, Cho: Relational Knowledge Distillation, 2019 (arXiv:1904.05068)
struct RelationalDistance {
  bool squared = false;    ///< d_ij = |student_i - student_j|^2
  bool normalize = false;  ///< of rows of unit length
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_not_options<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    using C = kernels::batch_compute_t<Student, Teacher>;
    return compute<C>(kernels::checked_batch<C>("RelationalDistance", weight, memory, student, teacher, grad, options),
                      options);
  }

  /// The bytes that RowOptions::workspace has to hold, if it is passed.
  template <class Student, class Teacher>
  static std::size_t workspace_size(const Student& student, const Teacher& teacher) {
    return kernels::workspace_size<kernels::batch_compute_t<Student, Teacher>>(memory, student, teacher);
  }

 private:
  static constexpr kernels::BatchMemory memory{2, 7};

  template <class C, class Call>
  double compute(const Call& call, const RowOptions& options) const {
    call.clear_ignored(options);
    const kernels::Batch<C> batch(call.student.rows, call.widest(), memory, options);
    if (batch.size == 0) return 0;
    kernels::BatchRows student{call.student, nullptr, !normalize};
    kernels::BatchRows teacher{call.teacher, nullptr, !normalize};
    if (normalize) {
      student.inverse_lengths = kernels::inverse_lengths(batch, call.student, batch.vector(0));
      teacher.inverse_lengths = kernels::inverse_lengths(batch, call.teacher, batch.vector(1));
    }
    C *const d = batch.square(0), *const t = batch.square(1);
    double *const norms = batch.vector(2), *const row_sums = batch.vector(3);
    kernels::gram(batch, teacher, t);
    kernels::products_to_distances(batch, teacher, squared, norms, t);
    kernels::gram(batch, student, d);
    kernels::products_to_distances(batch, student, squared, norms, d);
    const std::size_t n = batch.size;
    const auto sum_pairs = [&](const auto& row) {  // weighted by both samples; the diagonal adds nothing
      batch.for_each([&](std::size_t i) { row_sums[i] = row(i); });
      double sum = 0;
      for (std::size_t i = 0; i < n; ++i) sum += batch.weights[i] * row_sums[i];
      return sum;
    };
    const auto sum_of = [&](const C* distances) {
      return sum_pairs([&](std::size_t i) {
        double sum = 0;
        for (std::size_t j = 0; j < n; ++j)
          sum += batch.weights[j] * std::abs(static_cast<double>(distances[i * n + j]));
        return sum;
      });
    };
    double pairs = batch.total_weight * batch.total_weight;
    for (std::size_t i = 0; i < n; ++i) pairs -= batch.weights[i] * batch.weights[i];
    const double d_sum = sum_of(d), t_sum = sum_of(t);
    const double d_scale = d_sum == 0 ? 0 : pairs / d_sum, t_scale = t_sum == 0 ? 0 : pairs / t_sum;
    const auto difference = [&](std::size_t k) {
      return d_scale * std::abs(static_cast<double>(d[k])) - t_scale * std::abs(static_cast<double>(t[k]));
    };
    // h' is x within [-1, 1], and h is h' (x - h' / 2)
    const auto slope = [](double x) { return x < -1 ? -1 : x > 1 ? 1 : x; };
    const double along = sum_pairs([&](std::size_t i) {  // sum h' d
      double sum = 0, loss = 0;
      for (std::size_t j = 0; j < n; ++j) {
        const double x = difference(i * n + j), h = slope(x);
        loss += batch.weights[j] * h * (x - h / 2);
        sum += batch.weights[j] * h * std::abs(static_cast<double>(d[i * n + j]));
      }
      batch.losses[i] = loss;
      return sum;
    });
    const double factor = batch.factor(weight, reduction, 2);
    const double total = factor * batch.sum_losses(options);
    if (call.wants_gradient()) {
      put_gradient(batch, call, student, factor * d_scale * 2, d_sum == 0 ? 0 : along / d_sum, norms,
                   [&](std::size_t k) { return slope(difference(k)); });
    }
    return total;
  }

  /// of scale * sum_j w_i w_j (slope_ij - mean_slope) d_ij
  template <class C, class Call, class Rows, class Slope>
  void put_gradient(const kernels::Batch<C>& batch, const Call& call, const Rows& student, double scale,
                    double mean_slope, const double* norms, const Slope& slope) const {
    const std::size_t n = batch.size;
    C *const d = batch.square(0), *const coefficients = batch.square(1);
    double *const dots = batch.vector(4), *const near_pairs = batch.vector(5), *const diagonal = batch.vector(6);
    // student_i - student_j times c_ij: c of near pairs stays in d, to be applied to the rows themselves
    batch.for_each([&](std::size_t i) {
      dots[i] = near_pairs[i] = diagonal[i] = 0;
      for (std::size_t j = 0; j < n; ++j) {
        const std::size_t k = i * n + j;
        const double distance = std::abs(static_cast<double>(d[k])), g = slope(k) - mean_slope;
        const double weights = scale * batch.weights[i] * batch.weights[j];
        const double c = squared ? 2 * weights * g : distance == 0 ? 0 : weights * g / distance;
        const bool is_near = d[k] <= 0;
        dots[i] += c * (norms[i] - norms[j] + (squared ? distance : distance * distance)) / 2;
        if (is_near) {
          near_pairs[i] += i != j && c != 0;
        } else {
          diagonal[i] += c;
        }
        coefficients[k] = static_cast<C>(is_near ? 0 : -c);
        d[k] = static_cast<C>(is_near && i != j ? c : 0);
      }
      coefficients[i * n + i] = static_cast<C>(diagonal[i]);
    });
    const auto scale_of = [&](std::size_t i) { return student.inverse_lengths ? student.inverse_lengths[i] : 1; };
    kernels::put_products<kernels::Lanes<C, kernels::DefaultArch>>(
        batch, coefficients, student, student, dots, call.grad,
        [&](std::size_t i, std::size_t begin, std::size_t count, C* out) {
          if (near_pairs[i] == 0) return;
          const auto* const own = call.student.row(batch.index[i]) + begin;
          for (std::size_t j = 0; j < n; ++j) {
            const double c = static_cast<double>(d[i * n + j]);
            if (c == 0) continue;
            const auto* const other = call.student.row(batch.index[j]) + begin;
            for (std::size_t k = 0; k < count; ++k) {
              const double difference = scale_of(i) * detail::load_scalar<double>(own + k) -
                                        scale_of(j) * detail::load_scalar<double>(other + k);
              out[k] = static_cast<C>(static_cast<double>(out[k]) + c * difference);
            }
          }
        });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
