// Sum of exponentials over a row, chunk by chunk, in one pass.
//
// The exponentials are 2^(x*c - offset) for an integer offset. It need not be the row's maximum, only near enough that
// nothing overflows, so no pass is spent on finding the maximum: the first numbers of the row give the offset, and the
// rare chunk that exceeds it by more than `headroom` is done again with a larger one. As offsets are integers, states
// with different ones are brought together by exact powers of two.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/options.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/exp2.hpp>
#include <distill/kernels/lanes.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Elements that are summed in the scalar type before the sum goes on in double.
template <class L>
inline constexpr std::size_t chunk_size = 32 * L::width;

template <class T>
inline constexpr T infinity = std::numeric_limits<T>::infinity();

/// Exponentials kept for a later sweep, and the offset of each chunk.
template <class L>
struct KeptRow {
  using T = typename L::Scalar;
  T* values = nullptr;
  T* offsets = nullptr;

  /// Elements of scratch memory that a row of n needs; stores of whole lanes may run past the row's end.
  static std::size_t size(std::size_t n) {
    const std::size_t chunks = (n + chunk_size<L> - 1) / chunk_size<L>;
    const std::size_t values_size = (n + L::width - 1) / L::width * L::width;
    return (values_size + chunks + 15) / 16 * 16;
  }
  static KeptRow at(T* memory, std::size_t n) {
    return {memory, memory + (n + L::width - 1) / L::width * L::width};
  }
};

/// `count` kept rows for rows of n in the calling thread's scratch memory.
template <class L, std::size_t count>
void reserve_kept_rows(KeptRow<L> (&rows)[count], std::size_t n) {
  using T = typename L::Scalar;
  const std::size_t size = KeptRow<L>::size(n);
  T* memory = static_cast<T*>(detail::scratch().rows.reserve(count * size * sizeof(T)));
  for (std::size_t k = 0; k < count; ++k) rows[k] = KeptRow<L>::at(memory + k * size, n);
}

/// Temperatures outside make the fast sweeps inaccurate; such rows are computed by exact_row.hpp.
inline bool is_ordinary_temperature(double temperature) { return temperature >= 0x1p-40 && temperature <= 1024; }

/// x * 2^-powers
inline double lowered(double x, double powers) { return std::ldexp(x, -static_cast<int>(std::min(powers, 4000.0))); }

/// The sum of exponentials of a row so far: sum * 2^offset = sum of 2^(x*c).
template <class L>
struct ExpStream {
  using T = typename L::Scalar;
  static constexpr double headroom = 32;  // in powers of two

  ExpScale<L> scale;
  double offset = 0;
  double sum = 0;
  double weighted_sum = 0;  // sum of exponentials times what the kernel chooses, at the same offset
  T limit = 0;              // a larger x is beyond the headroom

  explicit ExpStream(double temperature) : scale(log2_e / temperature) {}

  /// Chooses the offset by the first numbers of the row that are not masked out by -infinity, -1e9 or their like. False
  /// if there are none or if they are too large: then the row is none for this sweep.
  template <class Stored>
  bool start(const Stored* x, std::size_t n) {
    const T masked = static_cast<T>(-FloatLayout<T>::max_offset / static_cast<double>(scale.c));
    for (std::size_t i = 0; i < n; i += L::width) {
      const T largest = reduce_max_number(load_up_to<L>(x + i, n - i, -infinity<T>));
      if (largest > masked) return raise_offset(largest);
    }
    return false;
  }

  bool fits(L largest) const { return !any_lane(L(limit) < largest); }

  /// Raises the offset if `largest` is beyond the headroom; false if it is out of range.
  bool raise(L largest) { return fits(largest) || raise_offset(reduce_max_number(largest)); }

  void add(L chunk_sum) { sum += static_cast<double>(reduce_add(chunk_sum)); }
  void add_weighted(L chunk_sum) { weighted_sum += static_cast<double>(reduce_add(chunk_sum)); }

  /// log(sum of exp(x / temperature)) without the offset's share, offset * ln 2
  double log_sum() const { return std::log(sum); }

  /// The factor that turns the kept exponentials of a chunk into `factor` times probabilities.
  T normaliser(double factor, T chunk_offset) const {
    return static_cast<T>(lowered(factor / sum, offset - static_cast<double>(chunk_offset)));
  }

 private:
  bool raise_offset(T largest) {
    const double exponent = static_cast<double>(largest) * static_cast<double>(scale.c);
    if (!(std::abs(exponent) <= FloatLayout<T>::max_offset)) return false;
    const double raised = std::nearbyint(exponent);
    if (sum != 0) {  // nothing to bring along at the start
      sum = lowered(sum, raised - offset);
      weighted_sum = lowered(weighted_sum, raised - offset);
    }
    offset = raised;
    scale.set_offset(offset);
    limit = static_cast<T>((offset + headroom) / static_cast<double>(scale.c));
    return true;
  }
};

/// Adds or stores `width` of `count` gradient elements.
template <class T, class Arch, class Stored>
void put(Lanes<T, Arch> value, Stored* grad, std::size_t count, bool accumulate) {
  if (accumulate) value = value + load_up_to<Lanes<T, Arch>>(grad, count, T(0));
  store_up_to(value, grad, count);
}

/// Adds or stores a row of n gradient elements.
template <class L, class Stored>
void put_row(const typename L::Scalar* values, std::size_t n, Stored* grad, bool accumulate) {
  for (std::size_t i = 0; i < n; i += L::width) put(load_up_to<L>(values + i, n - i, 0), grad + i, n - i, accumulate);
}

/// No element left out.
inline constexpr std::size_t none = static_cast<std::size_t>(-1);

/// The exponentials of a row are summed, and kept if `kept` is given. Element `skip` is left out. False if the row is
/// not ordinary: then nothing that was computed counts.
template <Precision precision, class L, class Stored>
bool sum_exponentials(ExpStream<L>& stream, const Stored* x, std::size_t n, std::size_t skip, KeptRow<L>* kept) {
  using T = typename L::Scalar;
  if (!stream.start(x, n)) return false;
  for (std::size_t begin = 0, chunk = 0; begin < n; begin += chunk_size<L>, ++chunk) {
    const std::size_t end = std::min(n, begin + chunk_size<L>);
    for (;;) {
      L sum(T(0)), largest(-infinity<T>);
      for (std::size_t i = begin; i < end; i += L::width) {
        L value = load_up_to<L>(x + i, n - i, -infinity<T>);
        if (skip - i < L::width) value = with_lane(value, skip - i, -infinity<T>);
        largest = max(largest, value);
        const L power = exp2<precision>(exponent(value, stream.scale));
        sum = sum + power;
        if (kept) store(power, kept->values + i);
      }
      if (stream.fits(largest)) {
        stream.add(sum);
        break;
      }
      if (!stream.raise(largest)) return false;
    }
    if (kept) kept->offsets[chunk] = static_cast<T>(stream.offset);
  }
  return std::isfinite(stream.sum);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
