// Squared distance of feature maps at several scales.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/maps/channels.hpp>
#include <distill/kernels/maps/pyramid_row.hpp>
#include <distill/kernels/rows/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// The hierarchical context loss of knowledge review: maps are compared at full size and average-pooled to 4 x 4, 2 x 2
/// and 1 x 1, so coarse agreement counts too:
///
///     loss = weight / divisor * sum_i w_i D_i
///     D = (m(student - teacher) + sum_k level_weight^k m(pool_k(student - teacher))) / (1 + sum_k level_weight^k)
///     m: the mean of squares over channels and positions; pool_1, pool_2, ... to those of the sizes 4, 2, 1 that are
///     below the height, each bin i of n positions being floor(i * n / size) to ceil((i + 1) * n / size) - 1
///
/// Shapes      student, teacher, grad: FeatureMapView of batch x channels x (height x width), of the same shape; their
///             strides may differ. float, double, half or bfloat16; the teacher's type may differ, grad has the
///             student's. Computed in double if either is double, else in float
/// Ranges      level_weight from 0 to 1e6, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    with d = student - teacher, of m(pool(d)): 2 / (channels * size^2) * the sum, over the bins that contain
///             a position, of the bin's mean of d divided by the bin's number of positions
/// Divisor     Reduction::per_element, the default, is the mean over samples, like Reduction::mean, as D is a mean
/// Exceptions  a sample with NaN or an infinity has loss and gradient NaN. Differences whose squares overflow or
///             underflow are computed in a wider type
/// Throws      std::invalid_argument on a parameter out of range, shapes that differ, 0 channels or positions, null,
///             strides that make elements coincide, memory that overlaps, sample weights of another length, negative or
///             not finite; before anything is written
/// Cost        one read of student and teacher, one write of grad; scratch: a channel, and 32 more where positions are
///             not adjacent in memory (N x H x W x C)
/// Conventions the published loss sums this over pairs of layers: one call each, with add_to(grad). A level that is not
///             below the height is left out, and the next one gets its weight; the width does not matter
/// Paper       Chen, Liu, Zhao, Jia: Distilling Knowledge via Knowledge Review, 2021 (arXiv:2104.09044). Its fusion of
///             the student's layers belongs to the network
struct Review {
  double level_weight = 0.5;  ///< of each level, relative to the previous one
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_maps, const Teacher& teacher_maps, Grad&& gradient,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "Review";
    if (!(level_weight >= 0 && level_weight <= 1e6)) {
      detail::fail(who, "level_weight is ", level_weight, ", expected a number from 0 to 1e6");
    }
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
    const kernels::Pyramid pyramid(student.height, student.width, level_weight);
    const double share = 1 / static_cast<double>(student.channels);
    return kernels::reduce_maps(student, 1, grad, options, reduction, weight, [&](std::size_t i, double factor) {
      double loss = 0;
      kernels::for_each_channel_of<C>(
          student, teacher, grad, i, [&](const auto& s, const auto& t, const auto& g, bool accumulate) {
            loss += share * kernels::pyramid_row<L>(pyramid, s.data, t.data, factor * share, g.data, accumulate);
          });
      return loss;
    });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
