// Which channels of a feature map are correlated.
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
#include <distill/kernels/maps/channels.hpp>
#include <distill/kernels/products/products.hpp>
#include <distill/kernels/products/similarity.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/simd/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Inter-channel correlation: compares the Gram matrices of a sample's channels, with rows at unit length:
///
///     loss = weight / divisor * sum_n w_n sum_ab (S_ab - T_ab)^2
///     S_ab = G_ab / |G_a|,  G = F F^T for F the student's sample, channels x positions;  T likewise for the teacher
///
/// Shapes      student, grad: FeatureMapView of batch x channels x (height x width); teacher: the same batch and
///             channels, any positions. float, double, half or bfloat16; the teacher's type may differ, grad has the
///             student's (its strides may differ). Computed in double if either is double, else in float
/// Ranges      weight finite; a sample's sum is from 0 to 4 times the channels. Products of channels must be in range
///             of the computed type: in float, numbers from about 1e-18 to 1e18, besides 0
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    with e = S - T: M_ab = 2 (e_ab - S_ab sum_c e_ac S_ac) / |G_a|; weight * w_n / divisor * (M + M^T) F
/// Divisor     Reduction::per_element, the default: the sum of w times channels^2
/// Exceptions  a channel of zeros is correlated with none: its rows and its gradient are 0. With a single channel, loss
///             and gradient are 0. A sample with NaN or an infinity has loss and gradient NaN
/// Throws      std::invalid_argument on weight, batches or channels that differ, 0 channels or positions, null, strides
///             that make elements coincide, memory that overlaps, sample weights of another length, negative or not
///             finite; before anything is written
/// Cost        three products per sample by Eigen (which may allocate for its blocking), 2 channels^2 positions
///             multiplications in all; scratch per thread: two matrices channels x channels, and the sample's maps
///             twice
/// Conventions torchdistill divides by channels times the square of the batch: weight = channels / batch
/// Paper       Liu et al.: Exploring Inter-Channel Correlation for Diversity-preserved Knowledge Distillation, 2021
///             (arXiv:2202.03680)
struct ChannelGram {
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_maps, const Teacher& teacher_maps, Grad&& gradient,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "ChannelGram";
    const auto call = detail::checked_pair(who, *this, as_feature_map(student_maps), as_feature_map(teacher_maps),
                                           gradient, options, [&](const auto& student, const auto& teacher) {
                                             detail::require_same_batch(who, "teacher", teacher, "student", student);
                                             detail::require_same_channels(who, "teacher", teacher, "student", student);
                                           });
    return kernels::reduce_maps(
        call.student, call.student.channels * call.student.channels, call.grad, options, reduction, weight,
        [&](std::size_t n, double factor) { return sample_loss(call.student, call.teacher, call.grad, n, factor); });
  }

 private:
  template <class S, class T, class G>
  double sample_loss(const FeatureMapView<S>& student, const FeatureMapView<T>& teacher,
                     const GradientTarget<FeatureMapView<G>>& grad, std::size_t n, double factor) const {
    using C = detail::compute_t<S, T>;
    const std::size_t channels = student.channels, positions = student.positions();
    const std::size_t most = (std::max)(positions, teacher.positions());
    detail::ScratchFrame frame;
    C* const s = frame.take<C>(channels * channels);
    C* const t = frame.take<C>(channels * channels);
    C* const maps = frame.take<C>(channels * most);
    C* const products = frame.take<C>(channels * most);
    double* const lengths = frame.take<double>(channels);
    gram(teacher, n, maps, t);
    gram(student, n, maps, s);
    const bool wants_gradient = grad.view.data != nullptr;
    double loss = 0;
    for (std::size_t a = 0; a < channels; ++a) {
      const auto row = kernels::similarity_row<kernels::Lanes<C, kernels::DefaultArch>>(
          s + a * channels, t + a * channels, channels, nullptr, factor, wants_gradient);
      loss += row.loss;
      lengths[a] = row.length;
    }
    if (!wants_gradient) return loss;
    if (!std::isfinite(loss)) return std::numeric_limits<double>::quiet_NaN();
    kernels::add_similarity_gradients(s, lengths, channels);
    kernels::eigen_map(products, channels, positions).noalias() =
        kernels::eigen_map(s, channels, channels) * kernels::eigen_map(maps, channels, positions);
    kernels::scatter_channels(products, positions, grad, n, 0, channels);
    return loss;
  }

  /// Copies sample n to `maps`, channels x positions, and multiplies its channels.
  template <class C, class T>
  static void gram(const FeatureMapView<T>& view, std::size_t n, C* maps, C* square) {
    const std::size_t channels = view.channels, positions = view.positions();
    kernels::gather_channels(view, n, 0, channels, maps, positions);
    auto products = kernels::eigen_map(square, channels, channels);
    products.setZero();
    products.template selfadjointView<Eigen::Lower>().rankUpdate(kernels::eigen_map(maps, channels, positions));
    kernels::mirror_lower(square, channels);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
