// Distance between standardised channels of feature maps: Pearson's correlation over a batch.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/maps/channels.hpp>
#include <distill/kernels/maps/pearson_channel.hpp>
#include <distill/kernels/rows/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Half the squared distance between standardised channels: compares patterns over positions and samples, not scale and
/// shift, which differ between architectures:
///
///     loss = weight / divisor * sum_i w_i sum_cx (s_icx - t_icx)^2 / 2
///     s_icx = (student_icx - mean_c) / (deviation_c + epsilon), t alike; mean and deviation over samples i and
///     positions x, deviation_c^2 = sum_i w_i sum_x (student_icx - mean_c)^2 / (n - 1), n = positions * sum_i w_i
///
/// Shapes      student, teacher, grad: FeatureMapView of batch x channels x (height x width), of the same shape; their
///             strides may differ. float, double, half or bfloat16; the teacher's type may differ, grad has the
///             student's. Computed in double if either is double, else in float
/// Ranges      epsilon >= 0 and finite, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant. RowOptions::losses receives the samples' terms, whose
///             weighted sum is the loss of Reduction::sum
/// Gradient    through mean and deviation; at epsilon = 0 it is weight * w_i / divisor / deviation_c * (s - t - (1 - r)
///             s), with the correlation r of student and teacher in channel c
/// Divisor     Reduction::per_element, the default, is the mean over samples, channels and positions: (n - 1) / n times
///             the mean over channels of 1 - r
/// Exceptions  a channel of equal numbers, or with n <= 1, is standardised to 0, and its gradient is 0. NaN or an
///             infinity makes its channel NaN in all samples, which share mean and deviation, and so all losses.
///             Squares that overflow or underflow are computed in a wider type
/// Throws      std::invalid_argument on a parameter out of range, shapes that differ, 0 channels or positions, null,
///             strides that make elements coincide, memory that overlaps, sample weights of another length, negative or
///             not finite; before anything is written
/// Cost        one read of student and teacher, and three more from cache if it holds a channel of the batch; one write
///             of grad. Scratch: one double per sample and channel; where positions are not adjacent in memory (N x H x
///             W x C) 32 channels of the batch. Threads take different channels
/// Conventions a sample of weight w counts as w samples. mmrazor uses epsilon = 1e-6 and otherwise the defaults
/// Paper       Cao, Zhang, Liu, Wang, Zhang, Xu, Zhang: PKD: General Distillation Framework for Object Detectors via
///             Pearson Correlation Coefficient, 2022 (arXiv:2207.02039)
struct PearsonFeatures {
  double epsilon = 0;
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_maps, const Teacher& teacher_maps, Grad&& gradient,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "PearsonFeatures";
    detail::require_nonnegative_finite(who, "epsilon", epsilon);
    const auto call =
        detail::checked_pair(who, *this, as_feature_map(student_maps), as_feature_map(teacher_maps), gradient, options);
    detail::require_whole_batch(who, options);
    return compute(call.student, call.teacher, call.grad, options);
  }

 private:
  template <class S, class T, class G>
  double compute(const FeatureMapView<S>& student, const FeatureMapView<T>& teacher,
                 const GradientTarget<FeatureMapView<G>>& grad, const RowOptions& options) const {
    using C = detail::compute_t<S, T>;
    using L = kernels::Lanes<C, kernels::DefaultArch>;
    const std::size_t n = student.positions(), batch = student.batch, channels = student.channels;
    if (kernels::is_off(weight, options)) {
      kernels::clear_gradient(grad, batch);
      return 0;
    }
    const kernels::SampleWeights weights(options.weights, batch);
    weights.clear_ignored(grad, options.losses);
    if (weights.total() == 0) return 0;

    const double divisor = kernels::reduction_divisor(reduction, weights.total(), channels * n);
    detail::ScratchFrame frame;
    double* const losses = frame.take<double>(batch * channels);
    const GradientTarget<FeatureMapView<G>> target = weight == 0 ? GradientTarget<FeatureMapView<G>>{} : grad;
    kernels::for_each_channel<C>(
        student, teacher, target, [&](std::size_t i) { return weights(i) != 0; }, options.executor,
        [&](std::size_t c, const auto& s, const auto& t, const auto& g, bool accumulate) {
          using Out = kernels::PearsonOutput<std::remove_pointer_t<decltype(g.data)>>;
          kernels::pearson_channel<L>(s, t, n, weights, epsilon, weight / divisor,
                                      Out{losses + c, channels, g, accumulate});
        });
    double total = 0;
    weights.for_each([&](std::size_t i, double w) {
      double loss = 0;
      for (std::size_t c = 0; c < channels; ++c) loss += losses[i * channels + c];
      if (options.losses) options.losses[i] = loss;
      total += w * loss;
    });
    if (weight == 0) kernels::clear_gradient(grad, batch);
    return kernels::weighted_loss(weight / divisor, total);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
