// KL(teacher || student) between the channels of feature maps, each a distribution over positions.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/maps/channels.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/scores/kl_row.hpp>
#include <distill/kernels/scores/scores_row.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Channel-wise distillation: each channel becomes a distribution over positions, so the loss compares where it is
/// active, not its overall level:
///
///     loss = weight * S / divisor * sum_i w_i sum_c KL(p_ic || q_ic),    KL(p || q) = sum_x p_x (ln p_x - ln q_x)
///     p_ic = softmax over positions x of teacher_icx / T, q_ic of student_icx / T
///     S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      student, teacher, grad: FeatureMapView of batch x channels x (height x width), of the same shape; their
///             strides may differ. float, double, half or bfloat16; the teacher's type may differ, grad has the
///             student's. Computed in double if either is double, else in float
/// Ranges      0 < temperature <= 1e150, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    d loss / d student_icx = weight * w_i / divisor * S / T * (q_icx - p_icx)
/// Divisor     Reduction::per_element, the default, is the mean over samples and channels
/// Exceptions  with one position, or a channel that differs from the teacher's by a constant, loss and gradient are 0.
///             -infinity masks a position as in KlDivergence. A sample with NaN or +infinity, or with a channel of
///             nothing but -infinity, has loss and gradient NaN
/// Throws      std::invalid_argument on a parameter out of range, shapes that differ, 0 channels or positions, null,
///             strides that make elements coincide, memory that overlaps, sample weights of another length, negative or
///             not finite; before anything is written
/// Cost        one read of student and teacher, one write of grad (Precision::high, and T above 32: two reads);
///             scratch: two channels, and 32 more where positions are not adjacent in memory (N x H x W x C)
/// Conventions the published loss has T^2 and divides by samples and channels, like the defaults
/// Paper       Shu, Liu, Gao, Yan, Shen: Channel-Wise Knowledge Distillation for Dense Prediction, 2021
///             (arXiv:2011.13256). If the numbers of channels differ, put a learned 1 x 1 convolution in front
struct ChannelWise {
  double temperature = 1;
  bool scale_by_temperature_squared = true;
  double weight = 1;
  Reduction reduction = Reduction::per_element;
  Precision precision = Precision::standard;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_maps, const Teacher& teacher_maps, Grad&& gradient,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "ChannelWise";
    detail::require_temperature(who, temperature);
    const auto call =
        detail::checked_pair(who, *this, as_feature_map(student_maps), as_feature_map(teacher_maps), gradient, options);
    return compute(call.student, call.teacher, call.grad, options);
  }

 private:
  template <class S, class T, class G>
  double compute(const FeatureMapView<S>& student, const FeatureMapView<T>& teacher,
                 const GradientTarget<FeatureMapView<G>>& grad, const RowOptions& options) const {
    using C = detail::compute_t<S, T>;
    using L = kernels::Lanes<C, kernels::DefaultArch>;
    const std::size_t n = student.positions();
    const double scale = kernels::soft_scale(*this);
    return kernels::with_precision<L>(kernels::needs_high_precision(precision, temperature), [&](auto chosen) {
      return kernels::reduce_maps(
          student, student.channels, grad, options, reduction, weight, [&](std::size_t i, double factor) {
            double loss = 0;
            kernels::for_each_channel_of<C>(
                student, teacher, grad, i, [&](const auto& s, const auto& t, const auto& g, bool accumulate) {
                  using Student = std::remove_pointer_t<decltype(g.data)>;
                  using Teacher = std::remove_const_t<std::remove_pointer_t<decltype(t.data)>>;
                  const Teacher* const teacher_row = t.data;
                  loss += kernels::kl_row<decltype(chosen)::value, false, L>(
                      kernels::ScoresRow<Student, Teacher>{s.data, kernels::only_teacher(teacher_row), n,
                                                           kernels::none},
                      temperature, {scale}, factor, kernels::GradientRow<Student>{g.data, accumulate});
                });
            return loss;
          });
    });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
