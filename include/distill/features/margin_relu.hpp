// Distance between feature maps that ignores differences which a ReLU would hide: the overhaul of feature distillation.
#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/maps/pair_maps.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {

namespace detail {

/// 0 where s <= max(t, margin) <= 0, else (s - max(t, margin))^2
template <class N>
struct PartialSquare {
  N margin;

  typename N::Scalar padding() const { return 0; }
  N value(N s, N t) const {
    const N d = difference(s, t);
    return nan_unless_finite(s, t, d * d);
  }
  N slope(N s, N t) const {
    const N d = difference(s, t);
    return d + d;
  }

 private:
  N difference(N s, N t) const {
    const N zero(typename N::Scalar(0)), target = larger(t, margin), d = s - target;
    return select(target <= zero, larger(d, zero), d);
  }
};

template <class M>
struct MarginTerms {
  const M* margins;

  auto of_channel(std::size_t c) const {
    return [margin = load_scalar<double>(margins + c)](auto lanes, std::size_t, std::size_t) {
      using N = decltype(lanes);
      return PartialSquare<N>{N(static_cast<typename N::Scalar>(margin))};
    };
  }
  auto of_channels() const {
    return [m = margins](auto lanes, std::size_t c, std::size_t count) {
      using N = decltype(lanes);
      return PartialSquare<N>{kernels::load_up_to<N>(m + c, count, 0)};
    };
  }
};

}  // namespace detail

/// Partial squared distance to the teacher's features after a margin ReLU, which raises features below the channel's
/// negative margin to it:
///
///     loss = weight / divisor * sum_i w_i sum_cp D(student_icp, max(teacher_icp, margin_c))
///     D(s, t) = 0 where s <= t <= 0, (s - t)^2 elsewhere        over channels c, positions p
///
/// Shapes      student, teacher, grad: FeatureMapView of batch x channels x (height x width), of the same shape, before
///             their ReLU; their strides may differ. margins: one per channel, a MatrixView of 1 row or anything
///             contiguous with data() and size(). float, double, half or bfloat16, independently, but grad has the
///             student's type. Computed in double if student or teacher is double, else in float
/// Ranges      margins <= 0, -infinity leaves the teacher as it is; weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. Teacher and margins are constants; batch_norm_margin() computes a margin
/// Gradient    weight * w_i / divisor * 2 (s - t), or 0 where D is 0
/// Divisor     Reduction::mean, the default, is the mean over samples of the sum over channels and positions;
///             Reduction::per_element the mean over all
/// Exceptions  a sample with NaN or an infinity has loss and gradient NaN. Differences whose squares overflow or
///             underflow are computed in a wider type
/// Throws      std::invalid_argument on a parameter or margin out of range, shapes that differ, 0 channels or
///             positions, null, strides that make elements coincide, memory that overlaps, sample weights of another
///             length, negative or not finite; before anything is written
/// Cost        one read of student and teacher, one write of grad; no scratch
/// Conventions published code sums over a sample and averages over the batch, like the default; one version has no
///             margins and a weight of 1 / 1000
/// Paper       Heo et al.: A Comprehensive Overhaul of Feature Distillation, 2019 (arXiv:1904.01866). If the numbers of
///             channels differ, put a learned 1 x 1 convolution in front
struct MarginRelu {
  double weight = 1;
  Reduction reduction = Reduction::mean;

  template <class Student, class Teacher, class Margins>
  double operator()(const Student& student, const Teacher& teacher, const Margins& margins,
                    const RowOptions& options = {}) const {
    return (*this)(student, teacher, margins, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Margins, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_maps, const Teacher& teacher_maps, const Margins& channel_margins,
                    Grad&& gradient, const RowOptions& options = {}) const {
    constexpr const char* who = "MarginRelu";
    const auto margins = detail::read_only(detail::as_row(channel_margins));
    const auto call = detail::checked_pair(who, *this, as_feature_map(student_maps), as_feature_map(teacher_maps),
                                           gradient, options, [&](const auto& student, const auto& teacher) {
                                             detail::require_same_shape(who, "teacher", teacher, "student", student);
                                             require_margins(who, margins, student.channels);
                                           });
    detail::require_no_overlap(who, "grad", detail::memory_rows(call.grad.view), "margins", margins, false);
    return compute(call.student, call.teacher, margins.data, call.grad, options);
  }

 private:
  template <class M>
  static void require_margins(const char* who, const MatrixView<const M>& margins, std::size_t channels) {
    detail::require_channel_row(who, "margins", margins, channels);
    for (std::size_t c = 0; c < channels; ++c) {
      const double margin = detail::load_scalar<double>(margins.data + c);
      if (!(margin <= 0)) detail::fail(who, "margins[", c, "] is ", margin, ", expected at most 0");
    }
  }

  template <class S, class T, class M, class G>
  double compute(const FeatureMapView<S>& student, const FeatureMapView<T>& teacher, const M* margins,
                 const GradientTarget<FeatureMapView<G>>& grad, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    return kernels::reduce_maps(student, student.channels * student.positions(), grad, options, reduction, weight,
                                [&](std::size_t i, double factor) {
                                  return kernels::pair_maps<L>(detail::MarginTerms<M>{margins}, student, teacher, grad,
                                                               i, factor);
                                });
  }
};

/// The margin of a channel after batch normalisation: the mean, given that it is negative, of a normal variable with
/// this mean (the normalisation's shift) and deviation (its scale, whose sign does not matter),
///
///     margin = mean - deviation * phi(z) / Phi(-z),  z = mean / deviation,
///
/// where phi and Phi are the standard normal's density and distribution function. It is below 0, except for a deviation
/// of 0 with a mean that is not negative. Published code uses -3 * deviation where Phi(-z) is below 0.001 (z above
/// 3.09).
inline double batch_norm_margin(double mean, double deviation) {
  detail::require_finite("batch_norm_margin", "mean", mean);
  detail::require_finite("batch_norm_margin", "deviation", deviation);
  deviation = std::abs(deviation);
  const double z = mean / deviation;
  if (deviation == 0 || std::isinf(z)) return mean < 0 ? mean : 0;
  if (z < 5) {
    const double density = std::exp(-z * z / 2) * 0.39894228040143267794,
                 share = 0.5 * std::erfc(z * 0.70710678118654752440);
    return mean - deviation * (density / share);
  }
  // phi(z) / Phi(-z) = z + 1 / (z + 2 / (z + 3 / ...)): what is left of z is the margin
  double fraction = z;
  for (int k = 60; k > 1; --k) fraction = z + k / fraction;
  return -deviation / fraction;
}

}  // namespace DISTILL_ABI
}  // namespace distill
