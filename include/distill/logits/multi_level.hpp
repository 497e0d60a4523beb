// How samples and classes resemble one another in the probabilities of a batch.
#pragma once

#include <cstddef>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/scores/soft_batch.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// The batch and class level of multi-level logit distillation: the Gram matrices of the batch's probabilities over
/// rows and over classes:
///
///     loss = weight * (batch_weight / N * |Q Q^T - P P^T|^2 + class_weight / C * |Q^T Q - P^T P|^2)
///     P = softmax(teacher / T), Q = softmax(student / T), N x C;    |.|^2: the sum of squares
///
/// Shapes      as KlDivergence; the teacher may be log_probabilities(x), or several teachers with weights
///             (core/teachers.hpp)
/// Ranges      temperature > 0 and finite, batch_weight and class_weight >= 0 and finite, weight finite; the loss is >=
///             0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant. RowOptions::losses receives batch_weight times the sum of
///             squares of a row of Q Q^T - P P^T; the classes' part belongs to no row
/// Gradient    through the softmax, with d / dQ = 4 batch_weight / N (Q Q^T - P P^T) Q + 4 class_weight / C Q (Q^T Q -
///             P^T P)
/// Infinities  -infinity is probability 0; NaN or +infinity in a row makes all NaN
/// Throws      std::invalid_argument for a parameter out of range and wherever KlDivergence throws; before anything is
///             written
/// Cost        N^2 C multiplications three times, five with class_weight and a gradient; no C x C matrix. Scratch: four
///             matrices of the batch's size in the computed type, three of N x N in double
/// Conventions no T^2. The published loss is summed over several temperatures, with KL (KlDivergence) at each: one call
///             per temperature, with add_to(grad). A row of weight w counts as w rows. Reduction::sum is the mean times
///             the sum of weights, per_element equals mean
/// Paper       Jin, Wang, Lin: Multi-Level Logit Distillation, 2023
struct MultiLevel {
  double temperature = 4;
  double batch_weight = 1;
  double class_weight = 1;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  LogitTransform logits = {};

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    constexpr const char* who = "MultiLevel";
    detail::require_positive_finite(who, "temperature", temperature);
    detail::require_nonnegative_finite(who, "batch_weight", batch_weight);
    detail::require_nonnegative_finite(who, "class_weight", class_weight);
    detail::require_whole_batch(who, options);
    return compute(detail::checked_call(who, *this, student, teacher, grad, options), options);
  }

 private:
  template <class S, class T, class G>
  double compute(const detail::TeacherCall<S, T, G>& call, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    return kernels::reduce_soft_batch<L>(
        *this, call, options, [](std::size_t rows) { return 3 * rows * rows; },
        [&](const auto& batch, double factor, double* losses, auto* gradient, double* work) {
          return grams<L>(batch, factor, losses, gradient, work);
        });
  }

  /// With E = Q - P all follows from Q Q^T, Q E^T and E E^T, none of it as a difference of nearly equal numbers:
  /// Q Q^T - P P^T = Q E^T + E Q^T - E E^T, and |Q^T Q - P^T P|^2 is a sum over pairs of rows.
  template <class L, class Batch, class C>
  double grams(const Batch& batch, double factor, double* losses, C* gradient, double* work) const {
    const std::size_t m = batch.rows, n = batch.cols;
    double *qq = work, *qe = work + m * m, *ee = work + 2 * m * m;
    kernels::for_each_row(m, m * n, batch.executor, [&](std::size_t i) {
      const auto at = [&](const C* x, std::size_t k) { return kernels::load_up_to<L>(x + k, n - k, 0); };
      for (std::size_t j = 0; j < m; ++j) {
        const C *q_i = batch.q(i), *q_j = batch.q(j), *p_i = batch.p(i), *p_j = batch.p(j);
        qe[i * m + j] = kernels::sum_row<L>(n, [&](std::size_t k) { return at(q_i, k) * (at(q_j, k) - at(p_j, k)); });
        if (j > i) continue;
        qq[i * m + j] = kernels::sum_row<L>(n, [&](std::size_t k) { return at(q_i, k) * at(q_j, k); });
        ee[i * m + j] = kernels::sum_row<L>(
            n, [&](std::size_t k) { return (at(q_i, k) - at(p_i, k)) * (at(q_j, k) - at(p_j, k)); });
      }
    });
    const auto symmetric = [m](const double* x, std::size_t i, std::size_t j) {
      return i < j ? x[j * m + i] : x[i * m + j];
    };
    const double classes = static_cast<double>(n);
    double batch_sum = 0, class_sum = 0;
    for (std::size_t i = 0; i < m; ++i) {
      double row = 0;
      for (std::size_t j = 0; j < m; ++j) {
        const double q_q = symmetric(qq, i, j), e_e = symmetric(ee, i, j), q_e = qe[i * m + j], e_q = qe[j * m + i];
        const double d = q_e + e_q - e_e;
        row += batch.weights[j] * d * d;
        // (q_i e_i^T + e_i p_i^T) . (q_j e_j^T + e_j p_j^T), with p = q - e
        const double p_p = q_q - q_e - e_q + e_e, e_p = e_q - e_e, p_e = q_e - e_e;
        class_sum += batch.weights[i] * batch.weights[j] * (q_q * e_e + q_e * e_p + e_q * p_e + e_e * p_p);
      }
      losses[i] = batch_weight * row;
      batch_sum += batch.weights[i] * row;
    }
    if (gradient) {
      kernels::for_each_row(m, m * n, batch.executor, [&](std::size_t i) {
        C* const g = gradient + i * n;
        for (std::size_t j = 0; j < m; ++j) {
          const double q_q = symmetric(qq, i, j), e_e = symmetric(ee, i, j), q_e = qe[i * m + j], e_q = qe[j * m + i];
          const double own = 4 * factor * batch.weights[i] * batch.weights[j];
          const double by_class = own * class_weight * batch.total_weight / classes;
          // (Q^T Q - P^T P) q_i is the sum of q_j (e_j . q_i) + e_j (p_j . q_i)
          const kernels::Lanes<C, typename L::Arch> along_q(
              static_cast<C>(own * batch_weight * (q_e + e_q - e_e) + by_class * q_e)),
              along_e(static_cast<C>(by_class * (q_q - q_e)));
          const C *q_j = batch.q(j), *p_j = batch.p(j);
          for (std::size_t k = 0; k < n; k += L::width) {
            const L q = kernels::load_up_to<L>(q_j + k, n - k, 0), p = kernels::load_up_to<L>(p_j + k, n - k, 0);
            const L sum = kernels::load_up_to<L>(g + k, n - k, 0);
            kernels::store_up_to(kernels::fma(along_q, q, kernels::fma(along_e, q - p, sum)), g + k, n - k);
          }
        }
      });
    }
    const double by_class = class_weight == 0 ? 0 : class_weight * class_sum / classes;
    return batch_weight * batch_sum / batch.total_weight + (by_class < 0 ? 0 : by_class);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
