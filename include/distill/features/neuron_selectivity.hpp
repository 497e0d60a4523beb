// Maximum mean discrepancy between the channels of student and teacher. Needs Eigen.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/maps/selectivity.hpp>
#include <distill/kernels/products/products.hpp>
#include <distill/kernels/rows/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// k(a, b) of two channels, each of unit length over positions.
enum class SelectivityKernel {
  linear,      ///< a . b
  polynomial,  ///< (a . b + offset)^degree
  gaussian,    ///< exp(-|a - b|^2 / (2 bandwidth^2))
};

/// Neuron selectivity transfer: compares the set of a layer's channels (where each is active) with the teacher's by
/// maximum mean discrepancy, so channels need no counterparts:
///
///     loss = weight / divisor * sum_i w_i D_i
///     D = mean_ab k(u_a, u_b) - 2 mean_ab k(u_a, v_b) + mean_ab k(v_a, v_b)
///     u_a = s_a / |s_a| of the student's channels s_a of a sample, v likewise from the teacher's; k by `kernel`
///
/// Shapes      student, grad: FeatureMapView of batch x channels x (height x width); teacher: the same batch, any
///             channels. Where heights or widths differ, both sides are average-pooled first, each axis to the smaller
///             of its two sizes. float, double, half or bfloat16; the teacher's type may differ, grad has the student's
///             (its strides may differ). Computed in double if either is double, else in float
/// Ranges      degree a whole number from 1 to 64, offset >= 0 and finite, bandwidth from 1e-6 to 1e6, weight finite;
///             the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    with k' = dk / d(a . b) and g_a = 2 / C * (mean_b k'(u_a, u_b) u_b - mean_b k'(u_a, v_b) v_b) for C
///             channels of the student: weight * w_i / divisor * (g_a - u_a (u_a . g_a)) / |s_a|
/// Divisor     Reduction::per_element, the default, is the mean over samples, like Reduction::mean, as D is a mean
/// Exceptions  a channel of zeros stays 0 when normalised, and its gradient is 0. A sample with NaN or an infinity has
///             loss and gradient NaN. Channels whose squares overflow or underflow are normalised in a wider type
/// Throws      std::invalid_argument on a parameter out of range, batches that differ, 0 channels or positions, null,
///             strides that make elements coincide, memory that overlaps, sample weights of another length, negative or
///             not finite; before anything is written
/// Cost        linear: a few sweeps over a sample, as D is the squared difference of mean channels. Otherwise the
///             products of all pairs of a sample's channels, by Eigen (which may allocate for its blocking), and as
///             many for the gradient. Scratch: a sample of both sides and its gradient, and products of 128 channels
///             with all
/// Conventions the published code has the kernel (a . b)^2, the default, and the mean over samples. The square of the
///             paper's bandwidth is the mean of |a - b|^2 over pairs
/// Paper       Huang, Wang: Like What You Like: Knowledge Distill via Neuron Selectivity Transfer, 2017
///             (arXiv:1707.01219)
struct NeuronSelectivity {
  SelectivityKernel kernel = SelectivityKernel::polynomial;
  double degree = 2;     ///< for the polynomial kernel
  double offset = 0;     ///< for the polynomial kernel
  double bandwidth = 1;  ///< for the Gaussian kernel
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_maps, const Teacher& teacher_maps, Grad&& gradient,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "NeuronSelectivity";
    if (kernel < SelectivityKernel::linear || kernel > SelectivityKernel::gaussian) {
      detail::fail(who, "kernel is ", static_cast<int>(kernel), ", expected a SelectivityKernel");
    }
    if (!(degree >= 1 && degree <= 64 && degree == std::floor(degree))) {
      detail::fail(who, "degree is ", degree, ", expected a whole number from 1 to 64");
    }
    detail::require_nonnegative_finite(who, "offset", offset);
    if (!(bandwidth >= 1e-6 && bandwidth <= 1e6)) {
      detail::fail(who, "bandwidth is ", bandwidth, ", expected a number from 1e-6 to 1e6");
    }
    const auto call = detail::checked_pair(who, *this, as_feature_map(student_maps), as_feature_map(teacher_maps),
                                           gradient, options, [&](const auto& student, const auto& teacher) {
                                             detail::require_same_batch(who, "teacher", teacher, "student", student);
                                           });
    return compute(call.student, call.teacher, call.grad, options);
  }

 private:
  static constexpr std::size_t channels_at_once = 128;

  /// A sample in scratch memory: its channels at unit length, the student's and then the teacher's.
  template <class C>
  struct Sample {
    std::size_t student, teacher, n;  // channels, positions
    C* unit;
    C* squares;       // squared norms: 1, or 0 for a channel of zeros
    double* inverse;  // 1 / the norms of the student's original channels
    C* gradient;      // with respect to the student's unit channels, without a factor of 2 / student
    C* products;
    detail::ScratchFrame frame;

    Sample(std::size_t s, std::size_t t, std::size_t positions) : student(s), teacher(t), n(positions) {
      const std::size_t all = s + t, block = (std::min)(channels_at_once, (std::max)(s, t));
      unit = frame.take<C>(all * n);
      squares = frame.take<C>(all);
      inverse = frame.take<double>(s);
      gradient = frame.take<C>(s * n);
      products = frame.take<C>(block * all);
    }
    C* unit_row(std::size_t channel) const { return unit + channel * n; }
  };

  template <class S, class T, class G>
  double compute(const FeatureMapView<S>& student, const FeatureMapView<T>& teacher,
                 const GradientTarget<FeatureMapView<G>>& grad, const RowOptions& options) const {
    using C = detail::compute_t<S, T>;
    using L = kernels::Lanes<C, kernels::DefaultArch>;
    const std::size_t height = (std::min<std::size_t>)(student.height, teacher.height);
    const std::size_t width = (std::min<std::size_t>)(student.width, teacher.width);
    const auto reduce = [&](const auto& discrepancy) {
      return kernels::reduce_maps(student, 1, grad, options, reduction, weight, [&](std::size_t i, double factor) {
        const Sample<C> sample(student.channels, teacher.channels, height * width);
        const bool is_finite = read<L>(sample, kernels::sample_maps<S>(student, i), 0, height, width) &&
                               read<L>(sample, kernels::sample_maps<T>(teacher, i), sample.student, height, width);
        if (!is_finite) return std::numeric_limits<double>::quiet_NaN();
        const double loss = discrepancy(sample);
        const double scale = 2 * factor / static_cast<double>(sample.student);
        for (std::size_t a = 0; grad.view.data && a < sample.student; ++a) {
          kernels::put_unit_channel_gradient<L>(
              sample.unit_row(a), sample.gradient + a * sample.n, height, width, scale * sample.inverse[a],
              kernels::one_channel(kernels::sample_maps<G>(grad.view, i), a), grad.accumulate);
        }
        return loss;
      });
    };
    const bool has_gradient = grad.view.data != nullptr;
    if (kernel == SelectivityKernel::linear || (kernel == SelectivityKernel::polynomial && degree == 1)) {
      return reduce([&](const Sample<C>& sample) { return linear<L>(sample, has_gradient); });
    }
    const auto of_pairs = [&](const auto& k) {
      return reduce([&](const Sample<C>& sample) { return pairs<L>(sample, k, has_gradient); });
    };
    if (kernel == SelectivityKernel::gaussian) return of_pairs(kernels::GaussianKernel{bandwidth});
    return of_pairs(kernels::PolynomialKernel{static_cast<int>(degree), offset});
  }

  /// Fills in the channels from `first` on; false if a number is not finite.
  template <class L, class C, class T>
  static bool read(const Sample<C>& sample, const kernels::SampleMaps<T>& maps, std::size_t first, std::size_t height,
                   std::size_t width) {
    for (std::size_t c = 0; c < maps.channels; ++c) {
      const double inverse =
          kernels::unit_channel<L>(kernels::one_channel(maps, c), height, width, sample.unit_row(first + c));
      if (std::isnan(inverse)) return false;
      if (first == 0) sample.inverse[c] = inverse;
      sample.squares[first + c] = inverse > 0 ? C(1) : C(0);
    }
    return true;
  }

  /// |mean u - mean v|^2; its gradient is the same for all channels
  template <class L, class C>
  static double linear(const Sample<C>& sample, bool has_gradient) {
    const std::size_t n = sample.n;
    C* const difference = sample.gradient;
    const L student_share(1 / static_cast<C>(sample.student)), teacher_share(1 / static_cast<C>(sample.teacher));
    for (std::size_t p = 0; p < n; p += L::width) {
      const L d = kernels::difference_of_products(
          kernels::sum_of_rows<L>(sample.unit, sample.student, n, p), student_share,
          kernels::sum_of_rows<L>(sample.unit_row(sample.student), sample.teacher, n, p), teacher_share);
      kernels::store_up_to(d, difference + p, n - p);
    }
    const double loss = kernels::sum_row<L>(n, [&](std::size_t p) {
      const L d = kernels::load_up_to<L>(difference + p, n - p, 0);
      return d * d;
    });
    for (std::size_t a = 1; has_gradient && a < sample.student; ++a) {
      std::copy(difference, difference + n, difference + a * n);
    }
    return loss;
  }

  /// Sums of k over all pairs, from the products of a few channels with all; the products then become the channels'
  /// factors in the gradient.
  template <class L, class Kernel, class C>
  static double pairs(const Sample<C>& sample, const Kernel& k, bool has_gradient) {
    const std::size_t all = sample.student + sample.teacher, n = sample.n;
    const double s = 1 / static_cast<double>(sample.student), t = 1 / static_cast<double>(sample.teacher);
    const auto for_each_block = [&](std::size_t begin, std::size_t end, std::size_t columns_begin, const auto& body) {
      const auto columns = kernels::eigen_map(sample.unit_row(columns_begin), all - columns_begin, n);
      for (std::size_t a = begin; a < end; a += channels_at_once) {
        const std::size_t rows = (std::min)(channels_at_once, end - a);
        auto products = kernels::eigen_map(sample.products, rows, all - columns_begin);
        products.noalias() = kernels::eigen_map(sample.unit_row(a), rows, n) * columns.transpose();
        body(a, rows, products, columns);
      }
    };
    /// The sum of k over `count` products of channel a with those from b on.
    const auto sum = [&](std::size_t a, std::size_t b, const C* products, std::size_t count) {
      const L squares(sample.squares[a]);
      return kernels::sum_row<L>(count, [&](std::size_t j) {
        const L other = kernels::load_up_to<L>(sample.squares + b + j, count - j, 0);
        return kernels::first_lanes(k.value(kernels::load_up_to<L>(products + j, count - j, 0), squares + other),
                                    count - j);
      });
    };
    const auto put_slopes = [&](std::size_t a, std::size_t b, C* products, std::size_t count, double scale) {
      const L squares(sample.squares[a]), factor(static_cast<C>(scale));
      for (std::size_t j = 0; j < count; j += L::width) {
        const L other = kernels::load_up_to<L>(sample.squares + b + j, count - j, 0);
        const L slope = k.slope(kernels::load_up_to<L>(products + j, count - j, 0), squares + other);
        kernels::store_up_to(slope * factor, products + j, count - j);
      }
    };
    double own = 0, mixed = 0, others = 0;
    for_each_block(0, sample.student, 0, [&](std::size_t a, std::size_t rows, auto& products, const auto& columns) {
      for (std::size_t r = 0; r < rows; ++r) {
        C* const row = sample.products + r * all;
        own += sum(a + r, 0, row, sample.student);
        mixed += sum(a + r, sample.student, row + sample.student, sample.teacher);
        if (!has_gradient) continue;
        put_slopes(a + r, 0, row, sample.student, s);
        put_slopes(a + r, sample.student, row + sample.student, sample.teacher, -t);
      }
      if (has_gradient) kernels::eigen_map(sample.gradient + a * n, rows, n).noalias() = products * columns;
    });
    for_each_block(sample.student, all, sample.student, [&](std::size_t b, std::size_t rows, const auto&, const auto&) {
      for (std::size_t r = 0; r < rows; ++r) {
        others += sum(b + r, sample.student, sample.products + r * sample.teacher, sample.teacher);
      }
    });
    return (std::max)(0.0, s * s * own - 2 * s * t * mixed + t * t * others);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
