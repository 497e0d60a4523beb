// Sum of exponentials over a row, chunk by chunk, in one pass.
//
// The exponentials are 2^(x*c - offset) for an integer offset. It need not be the row's maximum, only near enough that
// nothing overflows, so no pass is needed to find the maximum: the first number of the row gives the offset, and the
// rare chunk that exceeds it by more than `headroom` is redone with a larger one. As offsets are integers, states with
// different ones are combined by exact powers of two.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/simd/compensated_sum.hpp>
#include <distill/kernels/simd/exp2.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>
#include <distill/kernels/simd/two_parts.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Exponentials kept for a later sweep, and the offset of each chunk.
template <class L>
struct KeptRow {
  using T = typename L::Scalar;
  T* values = nullptr;
  T* offsets = nullptr;
};

/// Gives kept rows memory for rows of n; stores of whole lanes may run past a row's end.
template <class L, std::size_t count>
void take_kept_rows(detail::ScratchFrame& frame, KeptRow<L> (&rows)[count], std::size_t n) {
  using T = typename L::Scalar;
  const std::size_t values = (n + L::width - 1) / L::width * L::width, chunks = (n + chunk_size<L> - 1) / chunk_size<L>;
  T* const offsets = frame.take<T>(count * chunks);
  for (std::size_t k = 0; k < count; ++k) rows[k] = {frame.take<T>(values), offsets + k * chunks};
}

/// Temperatures outside this range make the fast sweeps inaccurate; exact_row.hpp computes such rows.
inline bool is_ordinary_temperature(double temperature) {
  return temperature >= 0x1p-40 && temperature <= 1024;
}

/// How many elements ahead a sweep prefetches: one latency, into the next row where this one ends.
inline constexpr std::size_t fetched_ahead = 512;

/// The sum of exponentials of a row so far: sum * 2^offset = sum of 2^(x*c).
template <class L>
struct ExpStream {
  using T = typename L::Scalar;
  // In powers of two. Exponentials lie above 1 by `lift`, so that those whose probability is normal are normal, too.
  static constexpr double lift = 16;
  static constexpr double headroom = 40;

  ExpScale<L> scale;
  double offset = 0;
  double first_offset = 0;
  CompensatedSum<L> lanes;
  CompensatedSum<L> weighted_lanes;  // of exponentials times what the kernel chooses
  double sum = 0, weighted_sum = 0;  // of the lanes, once the row is through
  T limit = 0;                       // a larger x is beyond the headroom

  explicit ExpStream(double temperature) : scale(log2_e / temperature) {}

  /// Chooses the offset by the first number of the row that is not left out, nor masked by -infinity, -1e9 or their
  /// like. False if there is none or if it is too large: this sweep cannot take the row then.
  template <class Stored>
  bool start(const Stored* x, std::size_t n, std::size_t skip = none) {
    const T masked = static_cast<T>(-max_offset<L> / static_cast<double>(scale.c));
    for (std::size_t i = 0; i < n; ++i) {
      const T value = detail::load_scalar<T>(x + i);
      if (i == skip || !(value > masked)) continue;
      if (!raise_offset(value)) return false;
      first_offset = offset;
      return true;
    }
    return false;
  }

  /// A finite number whose exponential is 0 for any offset.
  T nothing() const { return static_cast<T>(-2 * max_offset<L> / static_cast<double>(scale.c)); }

  /// Whether no exponential in this sum can be beyond the headroom; false for NaN.
  static bool is_within_headroom(const CompensatedSum<L>& sum_so_far) {
    return all_lanes(sum_so_far.sum <= L(static_cast<T>(lowered(1, -headroom))));
  }
  bool fits(L largest) const { return !any_lane(L(limit) < largest); }

  /// Raises the offset if `largest` is beyond the headroom; false if it is out of range.
  bool raise(L largest) { return fits(largest) || raise_offset(reduce_max_number(largest)); }

  void finish() {
    sum = lanes.total();
    weighted_sum = weighted_lanes.total();
  }

  /// The factor that turns the kept exponentials of a chunk into `factor` times probabilities.
  Normaliser<L> normaliser(double factor, T chunk_offset) const {
    return Normaliser<L>(lowered(factor / sum, offset - static_cast<double>(chunk_offset)));
  }

  /// Whether the offset rose so far during the row that normalisers of its first chunks would be subnormal; then the
  /// row must be summed again, from the offset now known.
  bool should_restart() const { return offset - first_offset > 64; }
  void restart() {
    lanes = {};
    weighted_lanes = {};
    first_offset = offset;
  }

 private:
  bool raise_offset(T largest) {
    const double exponent = static_cast<double>(largest) * static_cast<double>(scale.c);
    if (!(std::abs(exponent) <= max_offset<L>)) return false;
    const double raised = std::nearbyint(exponent) - lift;
    const double factor = lowered(1, (std::max)(0.0, raised - offset));
    lanes.scale(factor);
    weighted_lanes.scale(factor);
    offset = raised;
    scale.set_offset(offset);
    limit = static_cast<T>((offset + headroom) / static_cast<double>(scale.c));
    return true;
  }
};

/// The elements of a row from begin to end of sum_exponentials. False, with nothing summed, if the offset is too low
/// for them (`largest` is then their largest), or if they were assumed to be plain, that is finite and within the
/// headroom, but are not. Plain ones are all summed.
template <bool keep, bool is_plain, class L, class Stored, class Written>
[[gnu::always_inline]] inline bool sum_chunk(ExpStream<L>& stream, const Stored* x, std::size_t n, std::size_t begin,
                                             std::size_t end, std::size_t skip, typename L::Scalar* values,
                                             const Written* written, L& largest) {
  using T = typename L::Scalar;
  CompensatedSum<L> sum = stream.lanes;
  FiniteExp2<L> finite_exp2;
  largest = L(-infinity<T>);
  const ExpScale<L> scale = stream.scale;  // copies, as stores might change them in the compiler's eyes
  const T nothing = stream.nothing();
  for (std::size_t first = begin; first < end; first += group_size<L>) {
    prefetch(group_size<L>, x + first + fetched_ahead);
    if (written) prefetch(group_size<L>, written + first);
    L group(T(0));
    for (std::size_t i = first; i < (std::min)(end, first + group_size<L>); i += L::width) {
      L value = load_up_to<L>(x + i, n - i, nothing);
      L power;
      if constexpr (is_plain) {
        power = finite_exp2(exponent(value, scale));
      } else {
        if (skip - i < L::width) value = with_lane(value, skip - i, nothing);
        largest = larger(largest, value);
        power = exp2(exponent(value, scale));
      }
      group = group + power;
      if constexpr (keep) store(power, values + i);
    }
    sum.add(group);
  }
  if (!(is_plain ? finite_exp2.were_in_range() && stream.is_within_headroom(sum) : stream.fits(largest))) return false;
  stream.lanes = sum;
  return true;
}

/// One pass of sum_exponentials; false if the row is not ordinary.
template <bool keep, class L, class Stored, class Written>
bool sum_chunks(ExpStream<L>& stream, const Stored* x, std::size_t n, std::size_t skip, KeptRow<L>* kept,
                const Written* written) {
  using T = typename L::Scalar;
  T* const values = keep ? kept->values : nullptr;
  bool is_plain = true;  // so far, but for the chunk with `skip`
  L largest;
  for (std::size_t begin = 0, chunk = 0; begin < n; begin += chunk_size<L>, ++chunk) {
    const std::size_t end = (std::min)(n, begin + chunk_size<L>);
    const bool has_skip = skip - begin < chunk_size<L>;
    if (is_plain && !has_skip) {
      is_plain = sum_chunk<keep, true>(stream, x, n, begin, end, skip, values, written, largest);
    }
    if (!is_plain || has_skip) {
      while (!sum_chunk<keep, false>(stream, x, n, begin, end, skip, values, written, largest)) {
        if (!stream.raise(largest)) return false;
      }
    }
    if constexpr (keep) kept->offsets[chunk] = static_cast<T>(stream.offset);
  }
  return true;
}

/// The exponentials of a row are summed, and kept if `kept` is given. Element `skip` is left out. What a later sweep
/// writes, if given, is prefetched. False if the row is not ordinary: then discard all results.
template <class L, class Stored, class Written = Stored>
bool sum_exponentials(ExpStream<L>& stream, const Stored* x, std::size_t n, std::size_t skip, KeptRow<L>* kept,
                      const Written* written = nullptr) {
  const auto sum_all = [&] {
    return kept ? sum_chunks<true>(stream, x, n, skip, kept, written)
                : sum_chunks<false>(stream, x, n, skip, kept, written);
  };
  if (!stream.start(x, n, skip) || !sum_all()) return false;
  if (stream.should_restart()) {
    stream.restart();
    if (!sum_all()) return false;
  }
  stream.finish();
  return std::isfinite(stream.sum);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
