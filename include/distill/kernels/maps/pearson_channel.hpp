// A channel of student and teacher, standardised over a batch: half their squared distance, and its gradient.
//
// Sums use the lanes' type; a channel for which that is too narrow is redone in a wider one, as in feature_row.hpp.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/maps/channels.hpp>
#include <distill/kernels/rows/feature_row.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/rows/safe_sum.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// A centred channel (over samples and positions), with n positions per sample.
template <class L, class Stored>
class CentredChannel {
  using T = typename L::Scalar;
  using Total = total_t<L>;

 public:
  Total variance = 0;   // mean of squares
  Total deviation = 0;  // by Bessel's correction; 0 where all numbers are equal, or there is only one
  Total scale = 0;      // 1 / (deviation + epsilon); 0 where the deviation is

  CentredChannel(const ChannelRows<const Stored>& rows, std::size_t n, const SampleWeights& weights, double epsilon)
      : rows_(rows), n_(n) {
    const Total count = static_cast<Total>(weights.total()) * static_cast<Total>(n);
    const auto mean = [&](const auto& f) {
      Total sum = 0;
      weights.for_each([&](std::size_t i, double w) {
        sum += static_cast<Total>(w) * sum_row<L>(n, [&](std::size_t p) { return f((*this)(i, p)); });
      });
      return sum / count;
    };
    // relative to one of the numbers: what all have in common costs no digits, and equal numbers give exactly 0
    Total origin = 0;
    bool is_first = true;
    weights.for_each([&](std::size_t i, double) {
      if (is_first) origin = detail::load_scalar<Total>(rows.row(i));
      is_first = false;
    });
    set_mean(origin);
    set_mean(origin + mean([](L u) { return u; }));
    variance = mean([](L u) { return u * u; });
    is_constant_ = variance == 0 && mean([](L u) { return absolute(u); }) == 0;
    if (variance == 0 || !(count > 1)) return;
    deviation = std::sqrt(variance * (count / (count - 1)));
    scale = 1 / (deviation + static_cast<Total>(epsilon));
  }

  bool is_safe() const { return is_constant_ || is_safe_sum<L>(variance); }
  bool is_finite() const { return std::isfinite(variance); }

  /// Sample i from position p on; 0 after its end.
  L operator()(std::size_t i, std::size_t p) const {
    return first_lanes((load_up_to<L>(rows_.row(i) + p, n_ - p, 0) - mean_) - mean_rest_, n_ - p);
  }

 private:
  void set_mean(Total mean) {
    const T high = static_cast<T>(mean);
    mean_ = L(high);
    mean_rest_ = L(static_cast<T>(mean - static_cast<Total>(high)));
  }

  ChannelRows<const Stored> rows_;
  std::size_t n_;
  L mean_, mean_rest_;
  bool is_constant_ = false;
};

/// Where the losses of a channel go, one per sample, and its gradient.
template <class G>
struct PearsonOutput {
  double* losses;
  std::size_t loss_stride;
  ChannelRows<G> grad;
  bool accumulate;
};

/// False, and nothing written, if L is too narrow; `is_last`: there is no wider type, and only numbers that are not
/// finite are too much for it.
template <class L, bool is_last, class S, class T, class G>
bool compute_pearson_channel(const ChannelRows<const S>& student, const ChannelRows<const T>& teacher, std::size_t n,
                             const SampleWeights& weights, double epsilon, double factor, const PearsonOutput<G>& out) {
  using N = typename L::Scalar;
  using Total = total_t<L>;
  const CentredChannel<L, S> u(student, n, weights, epsilon);
  const CentredChannel<L, T> v(teacher, n, weights, epsilon);
  if (is_last ? !(u.is_finite() && v.is_finite()) : !(u.is_safe() && v.is_safe())) return false;

  // With d = u - v * ratio the distance is that of d times the student's scale: exactly 0 where u = v. A student
  // without a scale differs only by the teacher's.
  const Total scale = u.scale > 0 ? u.scale : v.scale;
  const L ratio(static_cast<N>(u.scale > 0 ? v.scale / u.scale : 0));
  const auto difference = [&](std::size_t i, std::size_t p) {
    return u.scale > 0 ? u(i, p) - ratio * v(i, p) : v(i, p);
  };
  Total gap = 0;  // sum of squares of the standardised difference
  weights.for_each([&](std::size_t i, double w) {
    const Total squares = scale * scale * sum_row<L>(n, [&](std::size_t p) {
                            const L d = difference(i, p);
                            return d * d;
                          });
    gap += static_cast<Total>(w) * squares;
    out.losses[i * out.loss_stride] = static_cast<double>(squares / 2);
  });
  if (!out.grad.data) return true;

  // d loss / du = scale * (d * scale - u / deviation * c), c = deviation * d(half the gap) / d deviation
  const Total degrees = static_cast<Total>(weights.total()) * static_cast<Total>(n) - 1;
  const auto share = [](const auto& x) { return x.deviation * x.scale; };
  using One = Lanes<Total, ScalarArch>;
  const Total surplus = difference_of_products(One(u.deviation), One(u.scale), One(v.deviation), One(v.scale)).value;
  const Total c = (surplus * (share(u) + share(v)) + gap / degrees) / 2;
  // a student that is standardised without epsilon is as far from a constant wherever it is
  const bool is_flat = u.scale == 0 || (v.scale == 0 && epsilon == 0);
  const L along_u(static_cast<N>(is_flat ? 0 : c / share(u)));
  const L inner(static_cast<N>(u.scale));
  weights.for_each([&](std::size_t i, double w) {
    const L outer(static_cast<N>(is_flat ? 0 : static_cast<Total>(factor * w) * u.scale));
    for (std::size_t p = 0; p < n; p += L::width) {
      const L g = is_flat ? L(N(0)) : (difference(i, p) - u(i, p) * along_u) * inner * outer;
      put(g, out.grad.row(i) + p, n - p, out.accumulate);
    }
  });
  return true;
}

/// Writes each live sample's half squared distance of the standardised channels, and factor * weight times the gradient
/// of their sum. grad may be the student's memory. A number that is not finite makes all of the channel NaN.
template <class L, class S, class T, class G>
void pearson_channel(const ChannelRows<const S>& student, const ChannelRows<const T>& teacher, std::size_t n,
                     const SampleWeights& weights, double epsilon, double factor, const PearsonOutput<G>& out) {
  if (compute_pearson_channel<L, false>(student, teacher, n, weights, epsilon, factor, out)) return;
  const AllExceptionsHeld held;
  if (compute_pearson_channel<Wide<L>, true>(student, teacher, n, weights, epsilon, factor, out)) return;
  weights.for_each([&](std::size_t i, double) { out.losses[i * out.loss_stride] = poisoned_row(out.grad.row(i), n); });
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
