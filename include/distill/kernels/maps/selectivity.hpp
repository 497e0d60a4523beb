// What neuron selectivity compares: channels at unit length, by kernels of their products.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/version.hpp>
#include <distill/kernels/maps/pooling.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/rows/feature_row.hpp>
#include <distill/kernels/rows/safe_sum.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/log.hpp>
#include <distill/kernels/simd/memory.hpp>
#include <distill/kernels/simd/series.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// k(a, b) = (a . b + offset)^degree, of the product a . b; `squares` is |a|^2 + |b|^2
struct PolynomialKernel {
  int degree;
  double offset;

  template <class L>
  L value(L product, L) const {
    return power(product, degree);
  }
  template <class L>
  L slope(L product, L) const {
    return L(static_cast<typename L::Scalar>(degree)) * power(product, degree - 1);
  }

 private:
  template <class L>
  L power(L product, int n) const {
    const L base = product + L(static_cast<typename L::Scalar>(offset));
    L result(typename L::Scalar(1));
    for (int i = 0; i < n; ++i) result = result * base;
    return result;
  }
};

/// k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2)) - 1. The 1 is the same for all pairs, so it makes no difference to a
/// discrepancy, and what is left keeps its digits at large bandwidths.
struct GaussianKernel {
  double bandwidth;

  template <class L>
  L value(L product, L squares) const {
    using T = typename L::Scalar;
    const L x = exponent(product, squares);
    return select(absolute(x) < L(T(0.5)), exp_excess(x) + x, exp(x) - L(T(1)));
  }
  template <class L>
  L slope(L product, L squares) const {
    return exp(exponent(product, squares)) * L(static_cast<typename L::Scalar>(1 / (bandwidth * bandwidth)));
  }

 private:
  template <class L>
  L exponent(L product, L squares) const {
    using T = typename L::Scalar;
    return (product - L(T(0.5)) * squares) * L(static_cast<T>(1 / (bandwidth * bandwidth)));
  }
};

/// out = x / |x|, 0 where x is; returns 1 / |x|, or 0. Not finite if a number is not; then `out` is undefined.
/// x may be out.
template <class L, class Stored>
double unit_row(const Stored* x, std::size_t n, typename L::Scalar* out) {
  const auto run = [&](auto lanes, bool is_last, double& inverse) {
    using N = decltype(lanes);
    const auto squares = sum_row<N>(n, [&](std::size_t i) {
      const N element = load_up_to<N>(x + i, n - i, 0);
      return element * element;
    });
    if (is_last ? !std::isfinite(squares) : !is_safe_sum<N>(squares)) return false;
    const auto scale = squares > 0 ? 1 / std::sqrt(squares) : squares;
    for (std::size_t i = 0; i < n; i += N::width) {
      const N element = load_up_to<N>(x + i, n - i, 0) * N(static_cast<typename N::Scalar>(scale));
      store_up_to(element, out + i, n - i);
    }
    inverse = static_cast<double>(scale);
    return true;
  };
  double inverse = std::numeric_limits<double>::quiet_NaN();
  if (run(L{}, false, inverse)) return inverse;
  const AllExceptionsHeld held;
  run(Wide<L>{}, true, inverse);
  return inverse;
}

/// Channel `channel` of a sample, as a map of its own.
template <class T>
SampleMaps<T> one_channel(const SampleMaps<T>& maps, std::size_t channel) {
  return {maps.at(channel, 0), 1, maps.height, maps.width, maps.channel_stride, maps.position_stride};
}

/// Whether a channel must be copied: to another size, or because its positions are not adjacent in memory.
template <class T>
bool needs_copy(const SampleMaps<T>& maps, std::size_t height, std::size_t width) {
  return maps.height != height || maps.width != width || maps.position_stride != 1;
}

/// unit_row of a channel, average-pooled to height x width.
template <class L, class Stored>
double unit_channel(const SampleMaps<const Stored>& channel, std::size_t height, std::size_t width,
                    typename L::Scalar* out) {
  using T = typename L::Scalar;
  if (!needs_copy(channel, height, width)) return unit_row<L>(channel.data, height * width, out);
  average_pool(channel, SampleMaps<T>{out, 1, height, width, height * width, 1});
  return unit_row<L>(out, height * width, out);
}

/// From the gradient with respect to a unit channel to that of the channel it comes from: scale * (g - u (u . g)),
/// where g is overwritten if the channel was copied.
template <class L, class Stored>
void put_unit_channel_gradient(const typename L::Scalar* unit, typename L::Scalar* g, std::size_t height,
                               std::size_t width, double scale, const SampleMaps<Stored>& grad, bool accumulate) {
  using T = typename L::Scalar;
  const std::size_t n = height * width;
  const auto at = [n](const T* x, std::size_t i) { return load_up_to<L>(x + i, n - i, 0); };
  const L along(static_cast<T>(sum_row<L>(n, [&](std::size_t i) { return at(unit, i) * at(g, i); })));
  const L factor(static_cast<T>(scale));
  const auto write = [&](auto* out, bool add) {
    for (std::size_t i = 0; i < n; i += L::width) put((at(g, i) - at(unit, i) * along) * factor, out + i, n - i, add);
  };
  if (!needs_copy(grad, height, width)) return write(grad.data, accumulate);
  write(g, false);
  average_pool_backward(SampleMaps<const T>{g, 1, height, width, n, 1}, grad, accumulate);
}

/// Element p and the next ones of the sum of `rows` rows of n, added up in groups: fewer roundings than one by one.
template <class L>
L sum_of_rows(const typename L::Scalar* x, std::size_t rows, std::size_t n, std::size_t p) {
  using T = typename L::Scalar;
  constexpr std::size_t group = 32;
  L total(T(0));
  for (std::size_t begin = 0; begin < rows; begin += group) {
    L sum(T(0));
    for (std::size_t a = begin; a < rows && a < begin + group; ++a) sum = sum + load_up_to<L>(x + a * n + p, n - p, 0);
    total = total + sum;
  }
  return total;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
