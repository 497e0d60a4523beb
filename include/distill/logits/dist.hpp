// Pearson correlation between the probabilities of rows and of classes.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/correlation.hpp>
#include <distill/kernels/scores/soft_batch.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// DIST: the student's probabilities correlate with the teacher's within each row and within each class; scale and
/// shift are free:
///
///     loss = weight * S * (beta * mean_i (1 - r(q_i, p_i)) + gamma * mean_j (1 - r(q_:j, p_:j)))
///     r(u, v) = u.v / (|u| |v| + epsilon) of the vectors less their means
///     p = softmax(teacher / T), q = softmax(student / T), S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      as KlDivergence; the teacher may be log_probabilities(x), or several teachers with weights
///             (core/teachers.hpp)
/// Ranges      0 < temperature <= 1e150, beta, gamma and epsilon >= 0 and finite, weight finite; the loss is >= 0
///             times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant. RowOptions::losses receives beta S (1 - r(q_i, p_i)) per
///             row; the classes' part belongs to no row
/// Gradient    through the softmax, with d(1 - r) / du = (r u / |u| - v / |v|) / |u| at epsilon = 0
/// Infinities  -infinity is probability 0; a row with NaN or +infinity makes its own terms NaN, and with gamma > 0 all
///             others through the classes. A class or row of equal probabilities is uncorrelated with everything: 1,
///             gradient 0; so with one row the classes' part is gamma
/// Throws      std::invalid_argument for a parameter out of range and wherever KlDivergence throws; before anything is
///             written
/// Cost        one read of student and teacher, one write of grad, and several sweeps over scratch: four matrices of
///             the batch's size, in the computed type
/// Conventions S = T^2 as in mmrazor and torchdistill; the authors use T = 1. epsilon = 0 here; mmrazor and the authors
///             add 1e-8. A row of weight w counts as w rows. Reduction::sum is the mean times the sum of weights,
///             per_element equals mean: a row and a class are one term each
/// Paper       Huang, You, Wang, Qian, Xu: Knowledge Distillation from A Stronger Teacher, 2022 (arXiv:2205.10536)
struct Dist {
  double temperature = 1;
  bool scale_by_temperature_squared = true;
  double beta = 1;
  double gamma = 1;
  double epsilon = 0;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  LogitTransform logits = {};

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    constexpr const char* who = "Dist";
    detail::require_temperature(who, temperature);
    detail::require_nonnegative_finite(who, "beta", beta);
    detail::require_nonnegative_finite(who, "gamma", gamma);
    detail::require_nonnegative_finite(who, "epsilon", epsilon);
    detail::require_whole_batch(who, options);
    return compute(detail::checked_call(who, *this, student, teacher, grad, options), options);
  }

 private:
  /// A smaller variance, relative to the mean's square, is the rounding of probabilities that are equal.
  static constexpr double rounding = 1e-28;

  static double inverse_root(double squares) { return squares > 0 ? 1 / std::sqrt(squares) : 0; }

  /// Of a probability near the smallest numbers the derivative may be beyond the largest, and is to be multiplied by it.
  template <class C>
  static C within_range(double derivative) {
    constexpr double most = static_cast<double>((std::numeric_limits<C>::max)()) / 64;
    return static_cast<C>(derivative > most ? most : derivative < -most ? -most : derivative);
  }

  template <class S, class T, class G>
  double compute(const detail::TeacherCall<S, T, G>& call, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const double scale = kernels::soft_scale(*this);
    return kernels::reduce_soft_batch<L>(
        *this, call, options, [&](std::size_t) { return 7 * call.student.cols; },
        [&](const auto& batch, double factor, double* losses, auto* gradient, double* work) {
          double value = 0;
          if (beta != 0) value += between_rows(batch, beta * scale, factor, losses, gradient);
          if (gamma != 0) value += between_classes(batch, gamma * scale, factor, gradient, work);
          return value;
        });
  }

  /// scale times the mean over rows
  template <class Batch, class C>
  double between_rows(const Batch& batch, double scale, double factor, double* losses, C* gradient) const {
    const std::size_t n = batch.cols;
    const double mean = 1 / static_cast<double>(n);
    kernels::for_each_row(batch.rows, n, batch.executor, [&](std::size_t i) {
      const auto *q = batch.q(i), *p = batch.p(i);
      // relative to the first number: equal numbers then are exactly their mean
      const double q_first = static_cast<double>(q[0]), p_first = static_cast<double>(p[0]);
      double uu = 0, vv = 0, gap = 0, q_rest = 0, p_rest = 0;
      for (std::size_t j = 0; j < n; ++j) {
        q_rest += static_cast<double>(q[j]) - q_first;
        p_rest += static_cast<double>(p[j]) - p_first;
      }
      q_rest *= mean;
      p_rest *= mean;
      const double q_mean = q_first + q_rest, p_mean = p_first + p_rest;
      const auto u = [&](std::size_t j) { return (static_cast<double>(q[j]) - q_first) - q_rest; };
      const auto v = [&](std::size_t j) { return (static_cast<double>(p[j]) - p_first) - p_rest; };
      for (std::size_t j = 0; j < n; ++j) {
        uu += u(j) * u(j);
        vv += v(j) * v(j);
      }
      if (uu <= rounding * static_cast<double>(n) * q_mean * q_mean) uu = 0;
      if (vv <= rounding * static_cast<double>(n) * p_mean * p_mean) vv = 0;
      const double u_scale = inverse_root(uu), v_scale = inverse_root(vv);
      for (std::size_t j = 0; j < n; ++j) {
        const double d = kernels::difference_of_products(u(j), u_scale, v(j), v_scale);
        gap += d * d;
      }
      const kernels::CorrelationDistance r(uu, vv, gap, epsilon);
      losses[i] = scale * r.distance;
      const double own = factor * scale * batch.weights[i];
      for (std::size_t j = 0; gradient && j < n; ++j) {
        gradient[i * n + j] += within_range<C>(own * r.gradient(u(j), v(j)));
      }
    });
    double sum = 0;
    for (std::size_t i = 0; i < batch.rows; ++i) sum += batch.weights[i] * losses[i];
    return sum / batch.total_weight;
  }

  /// scale times the mean over classes; a row of weight w counts as w rows
  template <class Batch, class C>
  double between_classes(const Batch& batch, double scale, double factor, C* gradient, double* work) const {
    const std::size_t n = batch.cols;
    for (std::size_t j = 0; j < 7 * n; ++j) work[j] = 0;
    double *q_rest = work, *p_rest = work + n, *uu = work + 2 * n, *vv = work + 3 * n, *gap = work + 4 * n,
           *u_scale = work + 5 * n, *v_scale = work + 6 * n;
    // as above: numbers are relative to those of the first row, and so are their means
    const auto q_first = [&](std::size_t j) { return static_cast<double>(batch.q(0)[j]); };
    const auto p_first = [&](std::size_t j) { return static_cast<double>(batch.p(0)[j]); };
    const auto each = [&](const auto& body) {
      for (std::size_t i = 0; i < batch.rows; ++i) {
        const auto *q = batch.q(i), *p = batch.p(i);
        for (std::size_t j = 0; j < n; ++j) {
          body(i, j, static_cast<double>(q[j]) - q_first(j), static_cast<double>(p[j]) - p_first(j));
        }
      }
    };
    each([&](std::size_t i, std::size_t j, double q, double p) {
      q_rest[j] += batch.weights[i] / batch.total_weight * q;
      p_rest[j] += batch.weights[i] / batch.total_weight * p;
    });
    each([&](std::size_t i, std::size_t j, double q, double p) {
      const double u = q - q_rest[j], v = p - p_rest[j], w = batch.weights[i];
      uu[j] += w * u * u;
      vv[j] += w * v * v;
    });
    const double tiny = batch.total_weight * rounding;
    for (std::size_t j = 0; j < n; ++j) {
      const double q_mean = q_first(j) + q_rest[j], p_mean = p_first(j) + p_rest[j];
      if (uu[j] <= tiny * q_mean * q_mean) uu[j] = 0;
      if (vv[j] <= tiny * p_mean * p_mean) vv[j] = 0;
      u_scale[j] = inverse_root(uu[j]);
      v_scale[j] = inverse_root(vv[j]);
    }
    each([&](std::size_t i, std::size_t j, double q, double p) {
      const double d = kernels::difference_of_products(q - q_rest[j], u_scale[j], p - p_rest[j], v_scale[j]);
      gap[j] += batch.weights[i] * d * d;
    });
    double *const slope = u_scale, *const ratio = v_scale;  // of the gradient; the scales are not needed any more
    double sum = 0;
    for (std::size_t j = 0; j < n; ++j) {
      const kernels::CorrelationDistance r(uu[j], vv[j], gap[j], epsilon);
      sum += r.distance;
      slope[j] = r.slope;
      ratio[j] = r.ratio;
    }
    // for the loss times the batch's weight
    const double own = factor * scale * batch.total_weight / static_cast<double>(n);
    if (gradient) {
      each([&](std::size_t i, std::size_t j, double q, double p) {
        gradient[i * n + j] +=
            within_range<C>(own * batch.weights[i] * (slope[j] * (ratio[j] * (q - q_rest[j]) - (p - p_rest[j]))));
      });
    }
    return scale * sum / static_cast<double>(n);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
