// Attention transfer of one sample: the energy of student's and teacher's maps over positions, compared at unit length.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/maps/pooling.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/rows/feature_row.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// |x|^2
struct SquarePower {
  template <class L>
  L value(L x) const {
    return x * x;
  }
  template <class L>
  L slope(L x) const {
    return x + x;
  }
};

/// |x|^n
struct IntegerPower {
  int n;

  template <class L>
  L value(L x) const {
    return power(absolute(x), n);
  }
  template <class L>
  L slope(L x) const {
    return L(static_cast<typename L::Scalar>(n)) * sign(x) * power(absolute(x), n - 1);
  }

 private:
  template <class L>
  static L power(L x, int n) {
    L result(typename L::Scalar(1));
    for (int i = 0; i < n; ++i) result = result * x;
    return result;
  }
};

/// |x|^p
struct RealPower {
  double p;

  template <class L>
  L value(L x) const {
    return power(absolute(x), p);
  }
  template <class L>
  L slope(L x) const {
    return L(static_cast<typename L::Scalar>(p)) * sign(x) * power(absolute(x), p - 1);
  }

 private:
  template <class L>
  static L power(L x, double p) {
    using T = typename L::Scalar;
    alignas(64) T lanes[L::width];
    store(x, lanes);
    for (T& lane : lanes) lane = std::pow(lane, static_cast<T>(p));
    return load<L>(lanes);
  }
};

/// Calls body with |x|^p.
template <class Body>
auto with_power(double p, const Body& body) {
  if (p == 2) return body(SquarePower{});
  if (p == std::floor(p)) return body(IntegerPower{static_cast<int>(p)});
  return body(RealPower{p});
}

/// The student's and the teacher's maps of one sample, where the student's gradient goes (data null: nowhere), and the
/// grid on which they are compared: maps of another size are pooled to it.
template <class S, class T>
struct AttentionSample {
  SampleMaps<const S> student;
  SampleMaps<const T> teacher;
  SampleMaps<S> grad;
  std::size_t height, width;
  bool accumulate;
};

/// An attention map a_p = sum_c |x_cp / scale|^power, and the maps x that it comes from. L's lanes run over what is
/// contiguous in memory: positions or channels. Without `rescaled` the scale is 1.
template <class L, bool rescaled, class Power>
class AttentionMap {
 public:
  using T = typename L::Scalar;

  AttentionMap(const Power& power, T* map, double scale) : power_(power), map_(map), scale_(static_cast<T>(scale)) {}

  template <class Stored>
  void compute(const SampleMaps<const Stored>& x) const {
    if (x.position_stride == 1) {
      by_channel<L>(x);
    } else if (x.channel_stride == 1) {
      for (std::size_t p = 0; p < x.positions(); ++p) {
        const Stored* const channels = x.at(0, p);
        map_[p] = static_cast<T>(sum_row<L>(x.channels, [&](std::size_t c) {
          return power_.value(scaled(load_up_to<L>(channels + c, x.channels - c, 0)));
        }));
      }
    } else {
      by_channel<Lanes<T, ScalarArch>>(x);
    }
  }

  /// Writes d loss / d x, where the map now holds d loss / d a.
  template <class Stored, class Grad>
  void put_gradient(const SampleMaps<const Stored>& x, const SampleMaps<Grad>& grad, bool accumulate) const {
    if (x.position_stride == 1 && grad.position_stride == 1) {
      put_by_channel<L>(x, grad, accumulate);
    } else if (x.channel_stride == 1 && grad.channel_stride == 1) {
      for (std::size_t p = 0; p < x.positions(); ++p) {
        const L slope(map_[p]);
        for (std::size_t c = 0; c < x.channels; c += L::width) {
          const L element = scaled(load_up_to<L>(x.at(c, p), x.channels - c, 0));
          put(scaled(slope * power_.slope(element)), grad.at(c, p), x.channels - c, accumulate);
        }
      }
    } else {
      put_by_channel<Lanes<T, ScalarArch>>(x, grad, accumulate);
    }
  }

 private:
  // Several channels are added up before they are added to the map: fewer passes over it, and shorter chains of
  // roundings.
  static constexpr std::size_t channels_at_once = 8;

  template <class N, class Stored>
  void by_channel(const SampleMaps<const Stored>& x) const {
    const std::size_t n = x.positions();
    for (std::size_t begin = 0; begin < x.channels; begin += channels_at_once) {
      const std::size_t end = (std::min)(x.channels, begin + channels_at_once);
      for (std::size_t p = 0; p < n; p += N::width) {
        N sum(T(0));
        for (std::size_t c = begin; c < end; ++c) sum = sum + power_.value(scaled(load_up_to<N>(x.at(c, p), n - p, 0)));
        put(sum, map_ + p, n - p, begin > 0);
      }
    }
  }

  template <class N, class Stored, class Grad>
  void put_by_channel(const SampleMaps<const Stored>& x, const SampleMaps<Grad>& grad, bool accumulate) const {
    const std::size_t n = x.positions();
    for (std::size_t c = 0; c < x.channels; ++c) {
      for (std::size_t p = 0; p < n; p += N::width) {
        const N element = scaled(load_up_to<N>(x.at(c, p), n - p, 0));
        put(scaled(load_up_to<N>(map_ + p, n - p, 0) * power_.slope(element)), grad.at(c, p), n - p, accumulate);
      }
    }
  }

  /// Divides by the scale: x, and for the chain rule the slope with respect to x / scale.
  template <class N>
  N scaled(N x) const {
    if constexpr (rescaled) {
      return x / N(scale_);
    } else {
      return x;
    }
  }

  Power power_;
  T* map_;
  T scale_;
};

/// The largest |x|, or 1 if all are 0; not finite if any x is not.
template <class Stored>
double largest_size(const SampleMaps<const Stored>& x) {
  double largest = 0;
  for (std::size_t c = 0; c < x.channels; ++c) {
    for (std::size_t p = 0; p < x.positions(); ++p) {
      const double size = std::abs(detail::load_scalar<double>(x.at(c, p)));
      if (!(size <= largest)) largest = size;
      if (std::isnan(size)) return size;
    }
  }
  return largest > 0 ? largest : 1;
}

/// Computes the loss of a sample and writes factor times its gradient. Unit maps do not depend on the sample's scale,
/// so with `rescaled` the largest number becomes 1 and nothing overflows. Without it the result is false, and nothing
/// is written, if something might have overflowed.
template <class L, bool rescaled, class Power, class F, class S, class T>
bool compute_attention_row(const Power& power, const F& f, Outer outer, const AttentionSample<S, T>& sample,
                           double factor, double& loss) {
  using N = typename L::Scalar;
  const std::size_t positions = sample.height * sample.width;
  const auto needs_pooling = [&](const auto& x) { return x.height != sample.height || x.width != sample.width; };
  const std::size_t pooled_channels = (std::max)(needs_pooling(sample.student) ? sample.student.channels : 0,
                                                 needs_pooling(sample.teacher) ? sample.teacher.channels : 0);
  detail::ScratchFrame frame;
  N *const student_map = frame.take<N>(positions), *const teacher_map = frame.take<N>(positions);
  N* const pooled_maps = frame.take<N>(pooled_channels * positions);
  const auto pooled = [&](const auto& x) {  // one buffer: the teacher's are not needed any more when the student's are
    return SampleMaps<N>{pooled_maps, x.channels, sample.height, sample.width, positions, 1};
  };
  const auto read_only = [](const SampleMaps<N>& x) {
    return SampleMaps<const N>{x.data, x.channels, x.height, x.width, x.channel_stride, x.position_stride};
  };
  const auto compute = [&](const auto& x, N* map) {
    const AttentionMap<L, rescaled, Power> attention(power, map, rescaled ? largest_size(x) : 1);
    attention.compute(x);
    return attention;
  };
  const auto finish = [&](const auto& x, const auto& put_gradient) {
    const auto attention = compute(x, student_map);
    const auto norms = squared_norms<L>(student_map, teacher_map, positions);
    if (!rescaled && !norms.are_safe()) return false;
    const UnitDifference<L, F, N, N> difference(f, outer, student_map, teacher_map, positions, norms);
    loss = difference.value();
    if (!sample.grad.data) return true;
    difference.put_gradient(factor, GradientRow<N>{student_map});
    put_gradient(attention);
    return true;
  };

  if (needs_pooling(sample.teacher)) {
    average_pool(sample.teacher, pooled(sample.teacher));
    compute(read_only(pooled(sample.teacher)), teacher_map);
  } else {
    compute(sample.teacher, teacher_map);
  }
  if (needs_pooling(sample.student)) {
    const SampleMaps<N> maps = pooled(sample.student);
    average_pool(sample.student, maps);
    return finish(read_only(maps), [&](const auto& attention) {
      attention.put_gradient(read_only(maps), maps, false);
      average_pool_backward(read_only(maps), sample.grad, sample.accumulate);
    });
  }
  return finish(sample.student,
                [&](const auto& attention) { attention.put_gradient(sample.student, sample.grad, sample.accumulate); });
}

/// The loss of a sample, with f and outer as the distance of unit maps. NaN if a number is not finite; the caller then
/// fills the gradient.
template <class L, class Power, class F, class S, class T>
double attention_row(const Power& power, const F& f, Outer outer, const AttentionSample<S, T>& sample, double factor) {
  double loss = 0;
  if (!compute_attention_row<L, false>(power, f, outer, sample, factor, loss)) {
    compute_attention_row<Lanes<double, ScalarArch>, true>(power, f, outer, sample, factor, loss);
  }
  return loss;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
