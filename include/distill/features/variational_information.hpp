// What the student's features say about the teacher's, by a Gaussian with learned variances.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/maps/channel_squares.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {

namespace detail {

/// v = ln(1 + e^x) + epsilon, and dv / dx.
struct SoftplusVariance {
  double value, slope;

  SoftplusVariance(double x, double epsilon)
      : value((x > 0 ? x : 0) + std::log1p(std::exp(-std::abs(x))) + epsilon), slope(1 / (1 + std::exp(-x))) {}
};

}  // namespace detail

/// VID: the negative log-density of the teacher's features under a Gaussian with the student's as mean and one learned
/// variance per channel, which bounds their mutual information (variational information distillation):
///
///     loss = weight / divisor * sum_i w_i sum_cp ((student_icp - teacher_icp)^2 / v_c + ln v_c) / 2
///     v_c = ln(1 + exp(log_scale_c)) + epsilon                        over channels c, positions p
///
/// (without the constant ln(2 pi) / 2 of a density), with gradients for student and log_scale. For example
///
///     VariationalInformation vid;
///     vid(student, teacher, log_scale, grad_student, grad_log_scale);
///
/// Shapes      student, teacher, grad_student: FeatureMapView of batch x channels x (height x width), of the same
///             shape; their strides may differ. Features without positions are FeatureMapView{pointer, batch, width, 1,
///             1}. log_scale, grad_log_scale: one per channel, a MatrixView of 1 row or anything contiguous with data()
///             and size(). float, double, half or bfloat16, independently, but a gradient has its argument's type.
///             Computed in double if student or teacher is double, else in float
/// Ranges      log_scale finite, epsilon >= 0 and finite, v_c at least 1.2e-38; weight finite. The loss may be
///             negative. weight * w_i / divisor / v_c counts up to the largest number of the computed type
/// Returns     the loss; grad_student and grad_log_scale (if passed, both) receive d loss / d student and d loss / d
///             log_scale; add_to() adds them. grad_student may be exactly the student's memory. The teacher is a
///             constant
/// Gradient    student: weight * w_i / divisor * (student_icp - teacher_icp) / v_c
///             log_scale: weight / divisor * sum_i w_i sum_p (1 / v_c - (student_icp - teacher_icp)^2 / v_c^2) / 2
///             / (1 + exp(-log_scale_c))
/// Divisor     Reduction::per_element, the default, is the mean over samples, channels and positions
/// Exceptions  where student and teacher are equal, the student's gradient is 0, and v_c shrinks towards epsilon. A
///             sample with NaN or an infinity has loss and gradient NaN, and makes all of grad_log_scale NaN; one of
///             weight 0 is not read. Differences whose squares overflow or underflow are computed in a wider type; if
///             the sum overflows double too, the loss is +infinity, and the student's gradient is finite
/// Throws      std::invalid_argument on a parameter out of range, shapes that differ, 0 channels or positions, null,
///             strides that make elements coincide, memory that overlaps, sample weights of another length, negative or
///             not finite; before anything is written
/// Cost        one read of student and teacher, one write of grad_student; scratch: batch x channels numbers of eight
///             bytes with a gradient, else one row of channels
/// Conventions the published code has epsilon = 1e-5 and the mean over everything, like the defaults, and starts from
///             log_scale = ln(exp(v - epsilon) - 1) with v = 5
/// Paper       Ahn, Hu, Damianou, Lawrence, Dai: Variational Information Distillation for Knowledge Transfer, 2019
///             (arXiv:1904.05835). The student here is the output of a learned regressor on its features
struct VariationalInformation {
  double epsilon = 1e-5;
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher, class LogScale>
  double operator()(const Student& student, const Teacher& teacher, const LogScale& log_scale,
                    const RowOptions& options = {}) const {
    return (*this)(student, teacher, log_scale, detail::NoGradient{}, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class LogScale, class Grad, class GradLogScale,
            class = detail::enable_if_gradient<GradLogScale>>
  double operator()(const Student& student_maps, const Teacher& teacher_maps, const LogScale& channel_log_scale,
                    Grad&& grad_student, GradLogScale&& grad_log_scale, const RowOptions& options = {}) const {
    constexpr const char* who = "VariationalInformation";
    if (!(epsilon >= 0) || !std::isfinite(epsilon)) {
      detail::fail(who, "epsilon is ", epsilon, ", expected a finite number of at least 0");
    }
    const auto log_scale = detail::read_only(detail::as_row(channel_log_scale));
    const auto call = detail::checked_pair(who, *this, as_feature_map(student_maps), as_feature_map(teacher_maps),
                                           grad_student, options, [&](const auto& student, const auto& teacher) {
                                             detail::require_same_shape(who, "teacher", teacher, "student", student);
                                             require_log_scale(who, log_scale, student.channels);
                                           });
    const auto parameters = checked_parameters(who, log_scale, grad_log_scale, call);
    return compute(call.student, call.teacher, log_scale.data, call.grad, parameters, options);
  }

 private:
  template <class P>
  void require_log_scale(const char* who, const MatrixView<const P>& log_scale, std::size_t channels) const {
    detail::require_channel_row(who, "log_scale", log_scale, channels);
    constexpr auto least = static_cast<double>((std::numeric_limits<float>::min)());
    for (std::size_t c = 0; c < channels; ++c) {
      const double x = detail::load_scalar<double>(log_scale.data + c);
      if (!std::isfinite(x)) detail::fail(who, "log_scale[", c, "] is ", x, ", expected a finite number");
      const double variance = detail::SoftplusVariance(x, epsilon).value;
      if (!(variance >= least)) {
        detail::fail(who, "log_scale[", c, "] is ", x, ", which gives a variance of ", variance, ", expected at least ",
                     least);
      }
    }
  }

  /// Where the gradient of log_scale goes; checks that it has log_scale's shape and overlaps nothing else.
  template <class P, class Grad, class Call>
  static auto checked_parameters(const char* who, const MatrixView<const P>& log_scale, Grad&& grad, const Call& call) {
    using Target = GradientTarget<MatrixView<P>>;
    if constexpr (std::is_same_v<std::decay_t<Grad>, detail::NoGradient>) {
      return Target{};
    } else {
      const auto target = detail::row_gradient_target(grad);
      static_assert(std::is_same_v<std::remove_const_t<decltype(target)>, Target>,
                    "distill: grad_log_scale is not writable, or not of log_scale's scalar type. Pass float for float, "
                    "double for double");
      const auto require_separate = [&](const char* name, const auto& row, const char* other, const auto& memory) {
        detail::require_no_overlap(who, name, row, other, memory, false);
      };
      detail::require_channel_row(who, "grad_log_scale", target.view, log_scale.cols);
      require_separate("grad_log_scale", target.view, "log_scale", log_scale);
      require_separate("grad_log_scale", target.view, "student", detail::memory_rows(call.student));
      require_separate("grad_log_scale", target.view, "teacher", detail::memory_rows(call.teacher));
      if (call.wants_gradient()) {
        const auto grad_student = detail::memory_rows(call.grad.view);
        require_separate("grad", grad_student, "log_scale", log_scale);
        require_separate("grad", grad_student, "grad_log_scale", target.view);
      }
      return target;
    }
  }

  template <class S, class T, class P, class G>
  double compute(const FeatureMapView<S>& student, const FeatureMapView<T>& teacher, const P* log_scale,
                 const GradientTarget<FeatureMapView<G>>& grad, const GradientTarget<MatrixView<P>>& grad_log_scale,
                 const RowOptions& options) const {
    using N = detail::compute_t<S, T>;
    using L = kernels::Lanes<N, kernels::DefaultArch>;
    const std::size_t channels = student.channels, terms = channels * student.positions();
    const double positions = static_cast<double>(student.positions());
    const bool keeps_halves = grad_log_scale.view.data != nullptr;

    detail::ScratchFrame frame;
    double* const inverse = frame.take<double>(channels);  // of the variances
    double* const sums = frame.take<double>(channels);
    double* const all_halves = keeps_halves ? frame.take<double>(student.batch * channels) : nullptr;
    double logs = 0;
    for (std::size_t c = 0; c < channels; ++c) {
      const double variance = detail::SoftplusVariance(detail::load_scalar<double>(log_scale + c), epsilon).value;
      inverse[c] = 1 / variance;
      logs += std::log(variance);
    }

    const double loss =
        kernels::reduce_maps(student, terms, grad, options, reduction, weight, [&](std::size_t i, double factor) {
          detail::ScratchFrame row;
          N* const slopes = row.take<N>(channels);
          double* const halves = all_halves ? all_halves + i * channels : row.take<double>(channels);
          // infinity times a difference of 0 would be NaN
          constexpr double most = static_cast<double>((std::numeric_limits<N>::max)());
          for (std::size_t c = 0; c < channels; ++c) {
            slopes[c] = static_cast<N>(std::clamp(factor * inverse[c], -most, most));
          }
          kernels::half_squared_channels<L>(
              kernels::SamplePair<G, std::remove_const_t<T>>{kernels::sample_maps<const S>(student, i),
                                                             kernels::sample_maps<const T>(teacher, i),
                                                             kernels::sample_maps<G>(grad.view, i), grad.accumulate},
              slopes, halves);
          using D = kernels::Lanes<double, kernels::DefaultArch>;
          const double sum = positions * logs / 2 + kernels::sum_row<D>(channels, [&](std::size_t c) {
                               return kernels::load_up_to<D>(halves + c, channels - c, 0) *
                                      kernels::load_up_to<D>(inverse + c, channels - c, 0);
                             });
          if (std::isnan(sum)) std::fill(halves, halves + channels, sum);
          return sum;
        });

    if (all_halves) {
      const kernels::ExceptionsHeld held;  // sums and the gradient may be beyond their types where the loss is not
      const kernels::SampleWeights weights(options.weights, student.batch);
      const double factor =
          weight / kernels::reduction_divisor(reduction, kernels::batch_weight(options, weights.total()), terms);
      std::fill(sums, sums + channels, 0);
      weights.for_each([&](std::size_t i, double w) {
        if (weight == 0) return;
        for (std::size_t c = 0; c < channels; ++c) sums[c] += w * all_halves[i * channels + c];
      });
      for (std::size_t c = 0; c < channels; ++c) {
        const double slope = detail::SoftplusVariance(detail::load_scalar<double>(log_scale + c), epsilon).slope;
        const double of_variance = (weights.total() * positions / 2 - sums[c] * inverse[c]) * inverse[c];
        P* const out = grad_log_scale.view.data + c;
        const double old = grad_log_scale.accumulate ? detail::load_scalar<double>(out) : 0;
        detail::store_scalar(out, old + factor * slope * of_variance);
      }
    }
    return loss;
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
