// Distance between the factors of student and teacher: hidden features, or their energies over positions, at unit
// length.
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
#include <distill/kernels/maps/factor_row.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/rows/feature_row.hpp>
#include <distill/kernels/rows/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// What is compared of a sample x with channels c and positions p.
enum class Factor {
  features,  ///< all of x_cp
  energy,    ///< sum_c |x_cp|^power at each position
};

/// How far a student's factor u is from the teacher's v, both of unit length.
enum class FactorDistance {
  absolute,   ///< sum_k |u_k - v_k|
  squared,    ///< sum_k (u_k - v_k)^2
  euclidean,  ///< sqrt(sum_k (u_k - v_k)^2)
};

/// Factor transfer: compares a translator's output for the student's features with a paraphraser's for the teacher's:
///
///     loss = weight / divisor * sum_i w_i D(F(student_i), F(teacher_i))
///     F(x) = a / |a|,  a by `factor`
///
/// Shapes      student, teacher, grad: FeatureMapView of batch x channels x (height x width), of any strides; the
///             teacher has as many channels as the student, with Factor::energy any number. Where heights or widths
///             differ, both sides are average-pooled first, each axis to the smaller of its two sizes. float, double,
///             half or bfloat16; the teacher's type may differ, grad has the student's. Computed in double if either is
///             double, else in float
/// Ranges      power (of Factor::energy) from 1 to 64, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * (g - u (u . g)) / |a|, with g = sign(u - v), 0 at 0, or 2 (u - v), or (u - v) /
///             |u - v|; for energy, times power |x_cp|^(power - 1) sign(x_cp)
/// Divisor     Reduction::per_element, the default, is the mean over samples and elements of the factor (euclidean:
///             over samples)
/// Exceptions  a sample of zeros has factor 0 and gradient 0; where both factors are equal the gradient is 0. A sample
///             with NaN or an infinity has loss and gradient NaN. Norms that overflow or underflow are computed in a
///             wider type
/// Throws      std::invalid_argument on a parameter out of range, batches or channels that differ, 0 channels or
///             positions, null, strides that make elements coincide, memory that overlaps, sample weights of another
///             length, negative or not finite; before anything is written
/// Cost        one read of student and teacher from memory, and two from cache; one write of grad. Scratch: none for
///             features in the same layout, else a copy of a sample of both sides; energy: as AttentionTransfer
/// Conventions the paper's distance is absolute or euclidean. Published code takes the mean over elements of absolute
///             differences of whole maps; or of energies with x^power, which is the same for even powers; or the mean
///             over samples of euclidean distances. Epsilons for the norm are left out
/// Paper       Kim, Park, Kwak: Paraphrasing Complex Network: Network Compression via Factor Transfer, 2018
///             (arXiv:1802.04977). Translator and paraphraser are yours
struct FactorTransfer {
  Factor factor = Factor::features;
  double power = 2;  ///< for Factor::energy
  FactorDistance distance = FactorDistance::absolute;
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_maps, const Teacher& teacher_maps, Grad&& gradient,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "FactorTransfer";
    if (factor != Factor::features && factor != Factor::energy) {
      detail::fail(who, "factor is ", static_cast<int>(factor), ", expected a Factor");
    }
    if (!(power >= 1 && power <= 64)) detail::fail(who, "power is ", power, ", expected a number from 1 to 64");
    if (distance < FactorDistance::absolute || distance > FactorDistance::euclidean) {
      detail::fail(who, "distance is ", static_cast<int>(distance), ", expected a FactorDistance");
    }
    const auto call =
        detail::checked_pair(who, *this, as_feature_map(student_maps), as_feature_map(teacher_maps), gradient, options,
                             [&](const auto& student, const auto& teacher) {
                               detail::require_same_batch(who, "teacher", teacher, "student", student);
                               if (factor == Factor::features)
                                 detail::require_same_channels(who, "teacher", teacher, "student", student);
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
    const bool euclidean = distance == FactorDistance::euclidean;
    const auto outer = euclidean ? kernels::Outer::root : kernels::Outer::sum;
    const std::size_t terms =
        euclidean ? 1 : height * width * (factor == Factor::features ? student.channels.value : 1);
    const auto reduce = [&](const auto& row) {
      return kernels::reduce_maps(student, terms, grad, options, reduction, weight, [&](std::size_t i, double scale) {
        return row(kernels::AttentionSample<G, std::remove_const_t<T>>{kernels::sample_maps<const S>(student, i),
                                                                       kernels::sample_maps<const T>(teacher, i),
                                                                       kernels::sample_maps<G>(grad.view, i), height,
                                                                       width, grad.accumulate},
                   scale);
      });
    };
    const auto of_distance = [&](const auto& f) {
      if (factor == Factor::features) {
        return reduce(
            [&](const auto& sample, double scale) { return kernels::factor_row<L>(f, outer, sample, scale); });
      }
      return kernels::with_power(power, [&](const auto& power_of) {
        return reduce([&](const auto& sample, double scale) {
          return kernels::attention_row<L>(power_of, f, outer, sample, scale);
        });
      });
    };
    return distance == FactorDistance::absolute ? of_distance(kernels::AbsoluteDifference{})
                                                : of_distance(kernels::SquaredDifference{});
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
