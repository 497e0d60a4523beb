// Distance between the attention maps of student and teacher.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/maps/attention_row.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/rows/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// The distance of a student's attention map s from the teacher's t, both at unit length.
enum class AttentionDistance {
  squared,    ///< sum_p (s_p - t_p)^2, as in published code
  euclidean,  ///< sqrt(sum_p (s_p - t_p)^2), as in the paper
};

/// Activation-based attention transfer: compares where in the image a layer is active:
///
///     loss = weight / divisor * sum_i w_i D(A(student_i), A(teacher_i))
///     A(x)_p = a_p / |a|,  a_p = sum_c |x_cp|^power        over channels c, for positions p
///
/// Shapes      student, grad: FeatureMapView of batch x channels x (height x width); teacher: the same batch, any
///             channels. Where heights or widths differ, both sides are average-pooled first, each axis to the smaller
///             of its two sizes. float, double, half or bfloat16; the teacher's type may differ, grad has the student's
///             (its strides may differ). Computed in double if either is double, else in float
/// Ranges      power from 1 to 64, weight finite; D is from 0 to 2 (squared) or sqrt(2): maps are not negative
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    with u = A(student), v = A(teacher), g = 2 (u - v), or (u - v) / |u - v|: d loss / d x_cp = weight * w_i
///             / divisor * (g_p - u_p (u . g)) / |a| * power |x_cp|^(power - 1) sign(x_cp)
/// Divisor     Reduction::per_element, the default, is the mean over samples and positions (euclidean: over samples;
///             Reduction::sum is the paper's sum)
/// Exceptions  a sample of zeros has map 0 and gradient 0; where both maps are equal the gradient is 0. A sample with
///             NaN or an infinity has loss and gradient NaN. If powers overflow, the sample is first divided by its
///             largest number, which does not change A
/// Throws      std::invalid_argument on a parameter out of range, batches that differ, 0 channels or positions, null,
///             strides that make elements coincide, memory that overlaps, sample weights of another length, negative or
///             not finite; before anything is written
/// Cost        two reads of student, one of teacher, one write of grad; scratch: two maps, and the pooled maps of all
///             channels where sizes differ. A power that is not a whole number costs one pow() per element
/// Conventions |x|^power, as in the paper; x^power in published code is the same for even powers. A sum or a mean over
///             channels makes no difference, as maps are normalised
/// Paper       Zagoruyko, Komodakis: Paying More Attention to Attention, 2017 (arXiv:1612.03928)
struct AttentionTransfer {
  double power = 2;
  AttentionDistance distance = AttentionDistance::squared;
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_maps, const Teacher& teacher_maps, Grad&& gradient,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "AttentionTransfer";
    if (!(power >= 1 && power <= 64)) detail::fail(who, "power is ", power, ", expected a number from 1 to 64");
    if (distance != AttentionDistance::squared && distance != AttentionDistance::euclidean) {
      detail::fail(who, "distance is ", static_cast<int>(distance), ", expected an AttentionDistance");
    }
    const auto call = detail::checked_pair(who, *this, as_feature_map(student_maps), as_feature_map(teacher_maps),
                                           gradient, options, [&](const auto& student, const auto& teacher) {
                                             detail::require_same_batch(who, "teacher", teacher, "student", student);
                                           });
    return compute(call.student, call.teacher, call.grad, options);
  }

 private:
  template <class S, class T, class G>
  double compute(const FeatureMapView<S>& student, const FeatureMapView<T>& teacher,
                 const GradientTarget<FeatureMapView<G>>& grad, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const std::size_t height = (std::min<std::size_t>)(student.height, teacher.height);
    const std::size_t width = (std::min<std::size_t>)(student.width, teacher.width);
    const bool euclidean = distance == AttentionDistance::euclidean;
    const auto outer = euclidean ? kernels::Outer::root : kernels::Outer::sum;
    const double largest = euclidean ? std::sqrt(2.0) : 2;
    return kernels::with_power(power, [&](const auto& power_of) {
      return kernels::reduce_maps(
          student, euclidean ? 1 : height * width, grad, options, reduction, weight, [&](std::size_t i, double factor) {
            const kernels::AttentionSample<G, std::remove_const_t<T>> sample{kernels::sample_maps<const S>(student, i),
                                                                             kernels::sample_maps<const T>(teacher, i),
                                                                             kernels::sample_maps<G>(grad.view, i),
                                                                             height,
                                                                             width,
                                                                             grad.accumulate};
            // where the maps have no position in common, it is the largest but for rounding; NaN stays
            return (std::min)(kernels::attention_row<L>(power_of, kernels::SquaredDifference{}, outer, sample, factor),
                              largest);
          });
    });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
