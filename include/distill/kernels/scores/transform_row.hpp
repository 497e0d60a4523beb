// A row of logits through a LogitTransform, and a gradient back through it.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/logit_transform.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/log.hpp>
#include <distill/kernels/simd/memory.hpp>
#include <distill/kernels/simd/series.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// What a row had before it was standardised.
struct RowMoments {
  double mean = 0;
  double deviation = 0;
  double divisor = 1;  // of the variance
};

template <class L>
class TransformRow {
  using T = typename L::Scalar;

 public:
  /// `all`: also scale and cap, which log-probabilities already include.
  TransformRow(const LogitTransform& transform, bool all)
      : transform_(transform),
        scale_(all ? transform.scale : 1),
        cap_(all ? transform.soft_cap : std::numeric_limits<double>::infinity()) {}

  template <class Stored>
  void forward(const Stored* x, std::size_t n, T* out) {
    const L scale(static_cast<T>(scale_)), masked(-infinity<T>), cap(static_cast<T>(cap_)),
        inverse_cap(static_cast<T>(1 / cap_));
    const bool has_cap = std::isfinite(cap_);
    for (std::size_t i = 0; i < n; i += L::width) {
      L z = load_up_to<L>(x + i, n - i, -infinity<T>);
      const auto is_masked = z <= masked;
      z = z * scale;
      if (has_cap) z = cap * tanh(z * inverse_cap);
      store_up_to(select(is_masked, masked, z), out + i, n - i);
    }
    if (transform_.standardize == Standardize::none) return;
    // numbers near the largest are made smaller, so that neither sums nor squares overflow; NaN goes through
    if (!standardise(out, n, 1)) standardise(out, n, std::is_same_v<T, float> ? T(0x1p-80) : static_cast<T>(0x1p-540));
  }

  /// Turns d loss / d out into d loss / d x, in place.
  void backward(const T* out, std::size_t n, T* grad) const {
    const L masked(-infinity<T>), zero(T(0));
    const auto at = [&](std::size_t i) { return load_up_to<L>(out + i, n - i, -infinity<T>); };
    const auto gradient = [&](std::size_t i) { return load_up_to<L>(grad + i, n - i, T(0)); };
    const bool standardised = transform_.standardize != Standardize::none;
    const double spread = moments_.deviation + transform_.epsilon;
    double factor = 1, mean = 0, slope = 0;
    if (standardised) {
      const double classes = moments_.divisor + (transform_.standardize == Standardize::unbiased ? 1 : 0);
      factor = moments_.deviation == 0 ? 0 : 1 / spread;
      mean = sum_row<L>(n, [&](std::size_t i) { return select(at(i) <= masked, zero, gradient(i)); }) / classes;
      // d deviation / d z = (z - mean) / (divisor deviation), and (z - mean) = out * spread
      const double dot =
          sum_row<L>(n, [&](std::size_t i) { return select(at(i) <= masked, zero, at(i) * gradient(i)); });
      slope = moments_.deviation == 0 ? 0 : dot * spread / (moments_.divisor * moments_.deviation);
    }
    const bool has_cap = std::isfinite(cap_);
    const L factor_lanes(static_cast<T>(factor)), mean_lanes(static_cast<T>(mean)), slope_lanes(static_cast<T>(slope)),
        scale(static_cast<T>(scale_)), inverse_cap(static_cast<T>(1 / cap_)),
        spread_lanes(static_cast<T>(standardised ? spread : 1)), center(static_cast<T>(moments_.mean));
    for (std::size_t i = 0; i < n; i += L::width) {
      const L z = at(i);
      L g = gradient(i);
      if (standardised) g = ((g - mean_lanes) - slope_lanes * z) * factor_lanes;
      if (has_cap) {
        const L t = fma(z, spread_lanes, center) * inverse_cap;
        g = g * (L(T(1)) - t) * (L(T(1)) + t);
      }
      store_up_to(select(z <= masked, zero, g * scale), grad + i, n - i);
    }
  }

 private:
  /// In place, each number times `unit` first; false, and nothing written, if the moments are not finite. If `unit` is
  /// not 1 they are, unless a number is not.
  bool standardise(T* out, std::size_t n, T unit) {
    const L masked(-infinity<T>), zero(T(0));
    const auto at = [&](std::size_t i) { return load_up_to<L>(out + i, n - i, -infinity<T>); };
    // relative to the first logit: equal logits then are exactly their mean
    std::size_t first = 0;
    while (first + 1 < n && out[first] == -infinity<T>) ++first;
    const T origin = unit * out[first];
    const auto relative = [&](L z) { return z * L(unit) - L(origin); };
    // masked classes count as the mean: they add nothing to the deviation
    const auto sum_of = [&](const auto& term) {
      return static_cast<double>(sum_row<L>(n, [&](std::size_t i) {
        const L z = at(i);
        return select(z <= masked, zero, term(relative(z)));
      }));
    };
    const double classes = sum_of([](L) { return L(T(1)); }), mean = sum_of([](L z) { return z; }) / classes;
    const L mean_lanes(static_cast<T>(mean));
    const double rest = mean - static_cast<double>(static_cast<T>(mean));
    const double squares = sum_of([&](L z) { return (z - mean_lanes) * (z - mean_lanes); });
    const double divisor = transform_.standardize == Standardize::unbiased ? classes - 1 : classes;
    const double variance = squares / divisor - rest * rest * classes / divisor;
    const double deviation = divisor > 0 ? std::sqrt(variance < 0 ? 0 : variance) : 0;
    if (unit == 1 && !std::isfinite(deviation)) return false;
    const double original = 1 / static_cast<double>(unit);
    moments_ = {(static_cast<double>(origin) + mean) * original, deviation * original, divisor};
    // equal logits become zeros
    const double spread = deviation + transform_.epsilon * static_cast<double>(unit);
    const L factor(static_cast<T>(deviation == 0 ? 0 : 1 / spread)), rest_lanes(static_cast<T>(rest));
    for (std::size_t i = 0; i < n; i += L::width) {
      const L z = at(i);
      store_up_to(select(z <= masked, masked, ((relative(z) - mean_lanes) - rest_lanes) * factor), out + i, n - i);
    }
    return true;
  }

  LogitTransform transform_;
  double scale_, cap_;
  RowMoments moments_;
};

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
