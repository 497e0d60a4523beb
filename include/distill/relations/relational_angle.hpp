// The angles between the samples of a batch.
#pragma once

#include <cmath>
#include <cstddef>

#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/batch.hpp>
#include <distill/kernels/distances.hpp>
#include <distill/kernels/gram.hpp>
#include <distill/kernels/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Relational knowledge distillation by angles: those of all triangles of the student's samples are the teacher's:
///
///     loss = weight / divisor * sum_ijk w_i w_j w_k h(c_jik - t_jik)
///     c_jik = e_ji . e_jk, the cosine at j;  e_ji = (student_i - student_j) / |student_i - student_j|;  t likewise
///     h(x) = x^2 / 2 for |x| < 1, |x| - 1/2 beyond
///
/// Shapes      student, grad: rows x cols, teacher: rows x any; one sample a row. float, double, half or bfloat16; the
///             teacher's type is free, grad has the student's. Computed in double
/// Ranges      weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student, or is added to with add_to(grad). grad may be
///             exactly the student's memory. The teacher is a constant. A sample's loss is the share of the triangles
///             that begin at it, as i
/// Gradient    with H = w_i w_j w_k h': from each corner j, v_i = 2 sum_k H_ik e_jk to (v_i - e_ji (e_ji . v_i)) /
///             |student_i - student_j|, added at i and taken off at j; with normalize it goes on through the lengths
/// Divisor     Reduction::per_element, the default: (sum of w)^3, all triples; mean: the sum of w
/// Exceptions  between equal samples e is 0, so is its gradient. A sample of zeros stays 0 with normalize, and its
///             gradient is 0. NaN or an infinity in a sample that counts makes the loss and all gradients NaN
/// Throws      std::invalid_argument on weight, batches that differ, 0 columns, null, a stride below cols, memory that
///             overlaps, a sample weight that is negative or not finite, a workspace that is too small; before anything
///             is written
/// Cost        three products by Eigen in the calling thread (which may allocate for its blocking), and rows^3 angles,
///             spread over the executor, never stored. Workspace: workspace_size(student, teacher), six matrices rows x
///             rows and two panels, in double
/// Conventions the mean over all rows^3 triples, as the published code has it, though some are degenerate. `normalize`
///             is the default of mmrazor
/// Paper       Park, Kim, Lu, Cho: Relational Knowledge Distillation, 2019 (arXiv:1904.05068)
struct RelationalAngle {
  bool normalize = false;  ///< of rows of unit length
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_not_options<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    return compute(kernels::checked_batch<double>("RelationalAngle", weight, memory, student, teacher, grad, options),
                   options);
  }

  /// The bytes that RowOptions::workspace has to hold, if it is passed.
  template <class Student, class Teacher>
  static std::size_t workspace_size(const Student& student, const Teacher& teacher) {
    return kernels::workspace_size<double>(memory, student, teacher);
  }

 private:
  static constexpr kernels::BatchMemory memory{6, 4};

  template <class Call>
  double compute(const Call& call, const RowOptions& options) const {
    const kernels::Batch<double> batch(call, memory, options);
    if (batch.size == 0) return 0;
    const auto student = kernels::batch_rows(batch, call.student, normalize, batch.vector(0), true);
    const auto teacher = kernels::batch_rows(batch, call.teacher, normalize, batch.vector(1), true);
    const Triangles s = triangles(batch, student, batch.square(0), batch.square(1));
    const Triangles t = triangles(batch, teacher, batch.square(2), batch.square(3));
    const double factor = batch.factor(weight, reduction, 3);
    const bool wants_gradient = call.wants_gradient();
    const std::size_t n = batch.size;
    // The gradient is coefficients * student. What corner j adds at i is taken off at j: the sums over k, to be moved.
    double *const coefficients = batch.square(4), *const moved = batch.square(5);
    batch.for_each([&](std::size_t i) {
      double* const row = coefficients + i * n;
      for (std::size_t k = 0; wants_gradient && k < n; ++k) row[k] = 0;
      double loss = 0;
      for (std::size_t j = 0; j < n; ++j) {
        const Corner own(s, n, i, j), other(t, n, i, j);
        const double pair = batch.weights[j], both = 2 * factor * batch.weights[i] * pair;
        double corner_loss = 0, along = 0, sum = 0;
        for (std::size_t k = 0; k < n; ++k) {
          const double cosine = own.cosine(k), x = cosine - other.cosine(k);
          const double h = x < -1 ? -1 : x > 1 ? 1 : x, w = batch.weights[k];
          corner_loss += w * h * (x - h / 2);
          if (wants_gradient) {
            const double slope = both * w * h, coefficient = slope * own.inverse_distance * own.inverse[k];
            along += slope * cosine;
            sum += coefficient;
            row[k] += coefficient;
          }
        }
        loss += pair * corner_loss;
        if (!wants_gradient) continue;
        along *= own.inverse_distance * own.inverse_distance;
        row[i] -= along;
        moved[i * n + j] = sum - along;
      }
      batch.losses[i] = loss;
    });
    if (wants_gradient) {
      batch.for_each([&](std::size_t i) {
        double* const row = coefficients + i * n;
        double sum = 0;
        for (std::size_t j = 0; j < n; ++j) {
          row[j] -= moved[i * n + j] + moved[j * n + i];
          sum += moved[j * n + i];
        }
        row[i] += sum;
      });
      const double* const dots = kernels::row_products<double>(batch, coefficients, s.products, batch.vector(3));
      kernels::put_products<kernels::Lanes<double, kernels::DefaultArch>>(batch, coefficients, student, student, dots,
                                                                          call.grad);
    }
    return factor * batch.sum_losses(options);
  }

  /// The products of rows, and 1 / distances: 0 between equal samples.
  struct Triangles {
    const double *products, *inverse;
  };
  template <class Rows>
  static Triangles triangles(const kernels::Batch<double>& batch, const Rows& rows, double* products, double* inverse) {
    const std::size_t n = batch.size;
    kernels::gram(batch, rows, products);
    for (std::size_t k = 0; k < n * n; ++k) inverse[k] = products[k];
    kernels::products_to_distances<kernels::Lanes<double, kernels::DefaultArch>>(batch, rows, false, batch.vector(2),
                                                                                 nullptr, inverse);
    for (std::size_t k = 0; k < n * n; ++k) inverse[k] = inverse[k] == 0 ? 0 : 1 / std::abs(inverse[k]);
    return {products, inverse};
  }

  /// The triangles at j that have i.
  struct Corner {
    const double *products_i, *products_j, *inverse;  // [k]
    double product_ij, product_jj, inverse_distance;

    Corner(const Triangles& all, std::size_t n, std::size_t i, std::size_t j)
        : products_i(all.products + i * n),
          products_j(all.products + j * n),
          inverse(all.inverse + j * n),
          product_ij(products_i[j]),
          product_jj(products_j[j]),
          inverse_distance(inverse[i]) {}
    /// (i - j) . (k - j) / (|i - j| |k - j|)
    double cosine(std::size_t k) const {
      return (products_i[k] - products_j[k] - product_ij + product_jj) * inverse_distance * inverse[k];
    }
  };
};

}  // namespace DISTILL_ABI
}  // namespace distill
