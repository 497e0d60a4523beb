// The angles between the samples of a batch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/products/batch.hpp>
#include <distill/kernels/products/distances.hpp>
#include <distill/kernels/products/gram.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Relational knowledge distillation by angles: compares the angles of all triangles of samples:
///
///     loss = weight / divisor * sum_ijk w_i w_j w_k h(c_jik - t_jik)
///     c_jik = e_ji . e_jk, the cosine at j;  e_ji = (student_i - student_j) / |student_i - student_j|;  t likewise
///     h(x) = x^2 / 2 for |x| < 1, |x| - 1/2 beyond
///
/// Shapes      student, grad: rows x cols, teacher: rows x any; one sample per row. float, double, half or bfloat16;
///             the teacher's type may differ, grad has the student's. Computed in double
/// Ranges      weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant. A sample's loss is the share of the triangles in which it
///             is i
/// Gradient    with H = w_i w_j w_k h': from each corner j, v_i = 2 sum_k H_ik e_jk to (v_i - e_ji (e_ji . v_i)) /
///             |student_i - student_j|, added at i and subtracted at j; with normalize, then through the norms
/// Divisor     Reduction::per_element, the default: (sum of w)^3, all triples; mean: the sum of w
/// Exceptions  between equal samples (with normalize: of one direction) e is 0, and so is its gradient. A sample of
///             zeros stays 0 with normalize, and its gradient is 0. NaN or an infinity in a sample that counts makes
///             the loss and all gradients NaN
/// Throws      std::invalid_argument on weight, batches that differ, 0 columns, null, a stride below cols, memory that
///             overlaps, sample weights of another length, negative or not finite, a workspace that is null or too
///             small; before anything is written
/// Cost        three products by Eigen in the calling thread (which may allocate for its blocking), and rows^3 angles,
///             spread over the executor, never stored; those with a side below a thousandth of the samples' norms are
///             computed from the rows, in cols multiplications each. Workspace: workspace_size(student, teacher), six
///             matrices rows x rows and two panels, in double
/// Conventions the mean over all rows^3 triples, as in published code, though some are degenerate. mmrazor uses
///             `normalize` by default
/// Paper       Park, Kim, Lu, Cho: Relational Knowledge Distillation, 2019 (arXiv:1904.05068)
struct RelationalAngle {
  bool normalize = false;  ///< use rows at unit length
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    const auto call = kernels::checked_batch<double>("RelationalAngle", *this, memory, student, teacher, grad, options);
    return kernels::compute_batch(*this, call, [&](const auto& checked) { return compute(checked, options); });
  }

  /// The size in bytes that RowOptions::workspace needs, if it is passed.
  template <class Student, class Teacher>
  static std::size_t workspace_size(const Student& student, const Teacher& teacher) {
    return kernels::workspace_size<double>(memory, student, teacher);
  }

 private:
  static constexpr kernels::BatchMemory memory{6, 6};

  template <class Call>
  double compute(const Call& call, const RowOptions& options) const {
    const kernels::Batch<double> batch(call, memory, weight, options);
    if (batch.size == 0) return 0;
    const auto student = kernels::batch_rows(batch, call.student, normalize, batch.vector(0), true);
    const auto teacher = kernels::batch_rows(batch, call.teacher, normalize, batch.vector(1), true);
    const auto s = triangles(batch, student, batch.square(0), batch.square(1), batch.vector(4));
    const auto t = triangles(batch, teacher, batch.square(2), batch.square(3), batch.vector(5));
    const double factor = batch.factor(weight, reduction, 3);
    const bool wants_gradient = call.wants_gradient();
    const std::size_t n = batch.size;
    // The gradient is coefficients * student. What corner j adds at i is subtracted at j: the sums over k.
    double *const coefficients = batch.square(4), *const moved = batch.square(5);
    batch.for_each([&](std::size_t i) {
      double* const row = coefficients + i * n;
      for (std::size_t k = 0; wants_gradient && k < n; ++k) row[k] = 0;
      double loss = 0;
      for (std::size_t j = 0; j < n; ++j) {
        const auto own = s.corner(i, j);
        const auto other = t.corner(i, j);
        const double pair = batch.weights[j], both = 2 * factor * batch.weights[i] * pair;
        double corner_loss = 0, along = 0, sum = 0;
        const auto add = [&](std::size_t k, double cosine, double other_cosine) {
          const double x = cosine - other_cosine;
          const double h = x < -1 ? -1 : x > 1 ? 1 : x, w = batch.weights[k];
          corner_loss += w * h * (x - h / 2);
          if (wants_gradient) {
            const double slope = both * w * h, coefficient = slope * own.inverse_distance * own.inverse(k);
            along += slope * cosine;
            sum += coefficient;
            row[k] += coefficient;
          }
        };
        if (own.has_near || other.has_near) {
          for (std::size_t k = 0; k < n; ++k) add(k, own.near_cosine(k), other.near_cosine(k));
        } else {
          for (std::size_t k = 0; k < n; ++k) add(k, own.cosine(k), other.cosine(k));
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
    return kernels::weighted_loss(factor, batch.sum_losses(options));
  }

  /// The products of rows, and 1 / distances: 0 between equal samples. (i - j) . (k - j) loses digits where a distance
  /// is small: below a thousandth of the rows' norms the entry is stored as a negative number, and the triangle's
  /// product is computed from the rows.
  template <class T>
  struct Triangles {
    const kernels::Batch<double>& batch;
    const kernels::BatchRows<T>& rows;
    const double *products, *inverse;
    const double* near_pairs;  // [j]

    auto corner(std::size_t i, std::size_t j) const { return Corner<T>(*this, i, j); }
  };
  template <class T>
  static Triangles<T> triangles(const kernels::Batch<double>& batch, const kernels::BatchRows<T>& rows,
                                double* products, double* inverse, double* near_pairs) {
    const std::size_t n = batch.size;
    double* const norms = batch.vector(2);
    kernels::gram(batch, rows, products);
    for (std::size_t k = 0; k < n * n; ++k) inverse[k] = products[k];
    kernels::products_to_distances<kernels::Lanes<double, kernels::DefaultArch>>(batch, rows, false, norms, nullptr,
                                                                                 inverse);
    for (std::size_t i = 0; i < n; ++i) {
      near_pairs[i] = 0;
      for (std::size_t j = 0; j < n; ++j) {
        double& x = inverse[i * n + j];
        const double distance = std::abs(x);
        const bool is_near = distance * distance < 1e-6 * (norms[i] + norms[j]);
        x = distance == 0 ? 0 : (is_near ? -1 : 1) / distance;
        if (x < 0) near_pairs[i] += 1;
      }
    }
    return {batch, rows, products, inverse, near_pairs};
  }

  /// The triangles at j that include i.
  template <class T>
  struct Corner {
    const Triangles<T>& all;
    std::size_t i, j;
    const double *products_i, *products_j, *inverse_j;  // [k]
    double product_ij, product_jj, inverse_distance;
    bool has_near;

    Corner(const Triangles<T>& triangles, std::size_t first, std::size_t corner)
        : all(triangles),
          i(first),
          j(corner),
          products_i(all.products + i * all.batch.size),
          products_j(all.products + j * all.batch.size),
          inverse_j(all.inverse + j * all.batch.size),
          product_ij(products_i[j]),
          product_jj(products_j[j]),
          inverse_distance(std::abs(inverse_j[i])),
          has_near(all.near_pairs[j] > 0) {}
    double inverse(std::size_t k) const { return std::abs(inverse_j[k]); }
    /// (i - j) . (k - j) / (|i - j| |k - j|), where j is near no sample
    double cosine(std::size_t k) const { return cosine_of(product(k), k); }
    double near_cosine(std::size_t k) const {
      if (k == i) return inverse_distance == 0 ? 0 : 1;
      const bool is_near = inverse_j[i] < 0 || inverse_j[k] < 0;
      return cosine_of(is_near ? product_of_rows(k) : product(k), k);
    }

   private:
    /// Bounded, and so a rounded number: a product that is not, less another one, would not be 0 where they are equal.
    double cosine_of(double product, std::size_t k) const {
      return std::clamp(product * inverse_distance * inverse(k), -1.0, 1.0);
    }
    double product(std::size_t k) const { return products_i[k] - products_j[k] - product_ij + product_jj; }
    double product_of_rows(std::size_t k) const {
      const auto& rows = all.rows;
      const auto scale = [&](std::size_t m) { return rows.inverse_lengths ? rows.inverse_lengths[m] : 1; };
      const auto row = [&](std::size_t m) { return rows.matrix.row(all.batch.index[m]); };
      const T *const x = row(i), *const y = row(j), *const z = row(k);
      const double x_scale = scale(i), y_scale = scale(j), z_scale = scale(k);
      double sum = 0;
      for (std::size_t c = 0; c < rows.matrix.cols; ++c) {
        const double at_j = detail::load_scalar<double>(y + c);
        sum += kernels::difference_of_products(x_scale, detail::load_scalar<double>(x + c), y_scale, at_j) *
               kernels::difference_of_products(z_scale, detail::load_scalar<double>(z + c), y_scale, at_j);
      }
      return sum;
    }
  };
};

}  // namespace DISTILL_ABI
}  // namespace distill
