// Half the squared distance of each channel of one sample's maps, and its gradient.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/version.hpp>
#include <distill/kernels/maps/pair_maps.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/rows/feature_row.hpp>
#include <distill/kernels/rows/pair_rows.hpp>
#include <distill/kernels/rows/safe_sum.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// A student's and a teacher's sample, of one shape; no gradient is written where grad has no data.
template <class S, class T>
struct SamplePair {
  SampleMaps<const S> student;
  SampleMaps<const T> teacher;
  SampleMaps<S> grad;
  bool accumulate;
};

/// `count` positions from p on, of the channels that L's lanes hold from c on: adds to halves, and returns true, unless
/// L is too narrow for one of them; nothing is written then.
template <class L, std::size_t most, class S, class T>
bool add_channels(const SamplePair<S, T>& pair, std::size_t c, std::size_t p, std::size_t count,
                  const typename L::Scalar* slopes, double* halves) {
  using N = typename L::Scalar;
  const std::size_t channels = pair.student.channels - c;
  const L zero(N(0)), least(static_cast<N>(least_safe_sum<L>)), most_squares((std::numeric_limits<N>::max)());
  L differences[most], squares = zero, sizes = zero;
  for (std::size_t k = 0; k < count; ++k) {
    const L d =
        load_up_to<L>(pair.student.at(c, p + k), channels, 0) - load_up_to<L>(pair.teacher.at(c, p + k), channels, 0);
    squares = squares + d * d;
    sizes = sizes + absolute(d);
    differences[k] = d;
  }
  // where all differences are 0, the sum is right; NaN is neither in range nor 0
  const L doubtful = select(least <= squares, select(squares <= most_squares, zero, L(N(1))), L(N(1)));
  if (any_lane(zero < select(sizes <= zero, zero, doubtful))) return false;
  if (pair.grad.data) {
    const L slope = load_up_to<L>(slopes + c, channels, 0);
    for (std::size_t k = 0; k < count; ++k) {
      put(differences[k] * slope, pair.grad.at(c, p + k), channels, pair.accumulate);
    }
  }
  alignas(64) N sums[L::width];
  store(squares, sums);
  const auto add = [&](std::size_t lanes) {
    for (std::size_t j = 0; j < lanes; ++j) halves[c + j] += 0.5 * static_cast<double>(sums[j]);
  };
  if (channels >= L::width) {
    add(L::width);  // a constant, which compilers vectorise
  } else {
    add(channels);
  }
  return true;
}

/// Writes half of sum_p (s_cp - t_cp)^2 to halves[c], and slopes[c] (s_cp - t_cp) to grad, or adds it to that. grad may
/// be the student. A sum is NaN if one of its numbers is not finite, and only then.
template <class L, class S, class T>
void half_squared_channels(const SamplePair<S, T>& pair, const typename L::Scalar* slopes, double* halves) {
  const auto& [student, teacher, grad, accumulate] = pair;
  const std::size_t channels = student.channels, positions = student.positions();
  if (neighbours_of(student, teacher, grad) == Neighbours::positions) {
    for (std::size_t c = 0; c < channels; ++c) {
      halves[c] = difference_row<L>(HalfSquaredDifference{}, student.at(c, 0), teacher.at(c, 0), positions,
                                    static_cast<double>(slopes[c]),
                                    GradientRow<S>{grad.data ? grad.at(c, 0) : nullptr, accumulate});
    }
    return;
  }
  const auto one_by_one = [&, &s = student, &t = teacher, &g = grad, a = accumulate](std::size_t c, std::size_t p,
                                                                                     std::size_t count) {
    const auto terms = [](std::size_t) {
      return
          [](auto lanes, std::size_t, std::size_t) { return DifferenceTerm<HalfSquaredDifference, decltype(lanes)>{}; };
    };
    const PairRows<S, T> rows{
        s.at(c, p),        t.at(c, p), g.data ? g.at(c, p) : nullptr, count, 1, s.position_stride, t.position_stride,
        g.position_stride, a};
    const auto total = pair_rows<Lanes<typename L::Scalar, ScalarArch>>(terms, rows, static_cast<double>(slopes[c]));
    return finite_sum(total);
  };
  if (neighbours_of(student, teacher, grad) == Neighbours::neither) {
    for (std::size_t c = 0; c < channels; ++c) halves[c] = one_by_one(c, 0, positions);
    return;
  }
  constexpr std::size_t at_once = 8;  // streams of adjacent channels, as many as caches can follow
  std::fill(halves, halves + channels, 0);
  for (std::size_t p = 0; p < positions; p += at_once) {
    const std::size_t count = (std::min)(at_once, positions - p);
    for (std::size_t c = 0; c < channels; c += L::width) {
      if (add_channels<L, at_once>(pair, c, p, count, slopes, halves)) continue;
      for (std::size_t k = c; k < (std::min)(channels, c + L::width); ++k) halves[k] += one_by_one(k, p, count);
    }
  }
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
