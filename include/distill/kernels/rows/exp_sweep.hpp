// The sum of exponentials over a part of a row, chunk by chunk, in one pass.
//
// The exponentials are 2^(x*c - offset) for an integer offset. It need not be the part's maximum, only near enough that
// nothing overflows, so no pass is needed to find the maximum: a number near the beginning gives the offset, and the
// rare chunk that exceeds it by more than `headroom` is redone with a larger one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/row_sums.hpp>
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

/// A sweep under way: sum * 2^offset = sum of 2^(x*c).
template <class L>
struct ExpSweep {
  using T = typename L::Scalar;
  // In powers of two. Exponentials lie above 1 by `lift`, so that those whose probability is normal are normal, too.
  static constexpr double lift = 16;
  static constexpr double headroom = 40;
  /// Normalisers of exponentials whose offset is further below that of the sum would be subnormal.
  static constexpr double most_below = 64;

  ExpScale<L> scale;
  double offset = 0;
  double first_offset = 0;
  CompensatedSum<L> lanes;
  CompensatedSum<L> weighted_lanes;  // of exponentials times what the kernel chooses
  T limit = 0;                       // a larger x is beyond the headroom

  explicit ExpSweep(double temperature) : scale(log2_e / temperature) {}

  /// Chooses the offset by a number; false if it is too large.
  bool start(T value) {
    if (!raise_offset(value)) return false;
    first_offset = offset;
    return true;
  }

  /// Whether x is not masked, by -infinity, -1e9 or their like; false for NaN.
  bool counts(T x) const { return x > static_cast<T>(-max_offset<L> / static_cast<double>(scale.c)); }

  /// A finite number whose exponential is 0 for any offset.
  T nothing() const { return static_cast<T>(-2 * max_offset<L> / static_cast<double>(scale.c)); }

  /// Whether no exponential in this sum can be beyond the headroom; false for NaN.
  static bool is_within_headroom(const CompensatedSum<L>& sum_so_far) {
    return all_lanes(sum_so_far.sum <= L(static_cast<T>(lowered(1, -headroom))));
  }
  bool fits(L largest) const { return !any_lane(L(limit) < largest); }

  /// Raises the offset if `largest` is beyond the headroom; false if it is out of range.
  bool raise(L largest) { return fits(largest) || raise_offset(reduce_max_number(largest)); }

  ExpSum total() const { return {lanes.total(), offset}; }

  /// Whether the offset rose so far that the first chunks must be summed again, from the offset now known.
  bool should_restart() const { return offset - first_offset > most_below; }
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

/// The first number of a part that counts, or if none does its last: NaN if there is one.
template <class L, class Stored>
typename L::Scalar first_counting(const ExpSweep<L>& sweep, const Stored* x, Range part, std::size_t skip = none) {
  using T = typename L::Scalar;
  T other = -infinity<T>;
  for (std::size_t i = part.begin; i < part.end; ++i) {
    if (i == skip) continue;
    const T value = detail::load_scalar<T>(x + i);
    if (sweep.counts(value)) return value;
    if (!(other != other)) other = value;
  }
  return other;
}

/// What is kept of a part without a class that counts.
template <class L>
void keep_nothing(const KeptRow<L>& kept, Range part) {
  using T = typename L::Scalar;
  for (std::size_t i = part.begin; i < part.end; i += L::width) store(L(T(0)), kept.values + i);
  for (std::size_t i = part.begin; i < part.end; i += chunk_size<L>) kept.offsets[i / chunk_size<L>] = -infinity<T>;
}

/// The elements of a row from begin to end . False, with nothing summed, if the offset is too low
/// for them (`largest` is then their largest), or if they were assumed to be plain, that is finite and within the
/// headroom, but are not. Plain ones are all summed.
template <bool keep, bool is_plain, class L, class Stored, class Written>
[[gnu::always_inline]] inline bool sum_chunk(ExpSweep<L>& sweep, const Stored* x, std::size_t n, std::size_t begin,
                                             std::size_t end, std::size_t skip, typename L::Scalar* values,
                                             const Written* written, L& largest) {
  using T = typename L::Scalar;
  CompensatedSum<L> sum = sweep.lanes;
  FiniteExp2<L> finite_exp2;
  largest = L(-infinity<T>);
  const ExpScale<L> scale = sweep.scale;  // copies, as stores might change them in the compiler's eyes
  const T nothing = sweep.nothing();
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
  if (!(is_plain ? finite_exp2.were_in_range() && sweep.is_within_headroom(sum) : sweep.fits(largest))) return false;
  sweep.lanes = sum;
  return true;
}

/// One pass over a part; false if it is not ordinary.
template <bool keep, class L, class Stored, class Written>
bool sum_chunks(ExpSweep<L>& sweep, const Stored* x, Range part, std::size_t skip, KeptRow<L>* kept,
                const Written* written) {
  using T = typename L::Scalar;
  T* const values = keep ? kept->values : nullptr;
  bool is_plain = true;  // so far, but for the chunk with `skip`
  L largest;
  for (std::size_t begin = part.begin; begin < part.end; begin += chunk_size<L>) {
    const std::size_t end = (std::min)(part.end, begin + chunk_size<L>);
    const bool has_skip = skip - begin < chunk_size<L>;
    if (is_plain && !has_skip) {
      is_plain = sum_chunk<keep, true>(sweep, x, part.end, begin, end, skip, values, written, largest);
    }
    if (!is_plain || has_skip) {
      while (!sum_chunk<keep, false>(sweep, x, part.end, begin, end, skip, values, written, largest)) {
        if (!sweep.raise(largest)) return false;
      }
    }
    if constexpr (keep) kept->offsets[begin / chunk_size<L>] = static_cast<T>(sweep.offset);
  }
  return true;
}

/// Sums the exponentials of a part, which begins with a chunk, and keeps them if `kept` is given. Element `skip` is left
/// out. What a later sweep writes, if given, is prefetched. The sum is NaN if the part is not ordinary.
template <class L, class Stored, class Written = Stored>
ExpSum sum_exponentials(ExpSweep<L>& sweep, const Stored* x, Range part, std::size_t skip, KeptRow<L>* kept,
                        const Written* written = nullptr) {
  const auto sum_all = [&] {
    return kept ? sum_chunks<true>(sweep, x, part, skip, kept, written)
                : sum_chunks<false>(sweep, x, part, skip, kept, written);
  };
  constexpr ExpSum not_ordinary{std::numeric_limits<double>::quiet_NaN(), 0};
  const auto first = first_counting(sweep, x, part, skip);
  if (!sweep.counts(first)) {
    if (first != first) return not_ordinary;
    if (kept) keep_nothing(*kept, part);
    return {};
  }
  if (!sweep.start(first) || !sum_all()) return not_ordinary;
  if (sweep.should_restart()) {
    sweep.restart();
    if (!sum_all()) return not_ordinary;
  }
  return sweep.total();
}
template <class L, class Stored, class Written = Stored>
ExpSum sum_exponentials(const Stored* x, Range part, double temperature, std::size_t skip, KeptRow<L>* kept,
                        const Written* written = nullptr) {
  ExpSweep<L> sweep(temperature);
  return sum_exponentials(sweep, x, part, skip, kept, written);
}

/// Keeps the exponentials of a part again where its offsets are too far below that of the row, now known.
template <class L, class Stored>
void raise_kept(const KeptRow<L>& kept, const Stored* x, Range part, double temperature, std::size_t skip,
                double offset) {
  using T = typename L::Scalar;
  const auto first = kept.offsets[part.begin / chunk_size<L>];
  if (offset - static_cast<double>(first) <= ExpSweep<L>::most_below || first == -infinity<T>) return;
  ExpSweep<L> sweep(temperature);
  sweep.scale.set_offset(offset);
  for (std::size_t i = part.begin; i < part.end; i += L::width) {
    const L power = exp2(exponent(load_up_to<L>(x + i, part.end - i, -infinity<T>), sweep.scale));
    store(skip - i < L::width ? with_lane(power, skip - i, T(0)) : power, kept.values + i);
  }
  for (std::size_t i = part.begin; i < part.end; i += chunk_size<L>) {
    kept.offsets[i / chunk_size<L>] = static_cast<T>(offset);
  }
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
