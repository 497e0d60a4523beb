// Lanes from and to memory of any stored type, whole or the last few of a row. Converts in registers where the
// instruction set can.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/gradient.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/simd/lanes.hpp>

// As in lanes.hpp.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

namespace shim {

// Native conversions: sixteen or eight floats from and to two-byte formats.
#if !defined(DISTILL_NO_SIMD) && defined(__AVX2__) && defined(__F16C__)
template <class L>
inline constexpr bool converts_two_bytes =
    std::is_same_v<typename L::Scalar, float> && !std::is_same_v<typename L::Arch, ScalarArch> &&
    (L::width == 8
#if defined(__AVX512BW__)
     || L::width == 16
#endif
    );

template <Format format, class L>
L load_two_bytes(const void* p) {
#if defined(__AVX512BW__)
  if constexpr (L::width == 16) {
    const __m256i stored = _mm256_loadu_si256(static_cast<const __m256i*>(p));
    if constexpr (format == Format::float16) {
      return typename L::Batch(_mm512_cvtph_ps(stored));
    } else {
      return typename L::Batch(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(stored), 16)));
    }
  } else
#endif
  {
    const __m128i stored = _mm_loadu_si128(static_cast<const __m128i*>(p));
    if constexpr (format == Format::float16) {
      return typename L::Batch(_mm256_cvtph_ps(stored));
    } else {
      return typename L::Batch(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(stored), 16)));
    }
  }
}

template <Format format, class L>
void store_two_bytes(L x, void* p) {
#if defined(__AVX512BW__)
  if constexpr (L::width == 16) {
    if constexpr (format == Format::float16) {
      constexpr __mmask16 all = 0xFFFF;  // gcc warns of the -1 in the macro that needs none
      _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_maskz_cvtps_ph(all, x.value, _MM_FROUND_TO_NEAREST_INT));
    } else {
      const __m512i bits = _mm512_castps_si512(x.value);
      const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
      const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
      const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
      const __mmask16 is_nan = _mm512_cmp_ps_mask(x.value, x.value, _CMP_UNORD_Q);
      const __m512i result = _mm512_mask_mov_epi32(rounded, is_nan, quiet);
      _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(result, 16)));
    }
  } else
#endif
  {
    if constexpr (format == Format::float16) {
      _mm_storeu_si128(static_cast<__m128i*>(p), _mm256_cvtps_ph(x.value, _MM_FROUND_TO_NEAREST_INT));
    } else {
      const __m256i bits = _mm256_castps_si256(x.value);
      const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
      const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
      const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
      const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x.value, x.value, _CMP_UNORD_Q));
      const __m256i result = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
      const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(result, result), 0x08);
      _mm_storeu_si128(static_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
    }
  }
}
#else
template <class L>
inline constexpr bool converts_two_bytes = false;
template <Format format, class L>
L load_two_bytes(const void*) = delete;
template <Format format, class L>
void store_two_bytes(L, void*) = delete;
#endif

// Masked loads and stores of a few lanes, for the end of a row.
#if !defined(DISTILL_NO_SIMD) && defined(__AVX512F__)
template <class L>
inline constexpr bool has_masks = !std::is_same_v<typename L::Arch, ScalarArch> && sizeof(L) == 64;

template <class L>
L load_masked(const typename L::Scalar* p, std::size_t count, L fill) {
  const auto mask = (1u << count) - 1u;
  if constexpr (sizeof(typename L::Scalar) == 4) {
    return typename L::Batch(_mm512_mask_loadu_ps(fill.value, static_cast<__mmask16>(mask), p));
  } else {
    return typename L::Batch(_mm512_mask_loadu_pd(fill.value, static_cast<__mmask8>(mask), p));
  }
}

template <class L>
void store_masked(L x, typename L::Scalar* p, std::size_t count) {
  const auto mask = (1u << count) - 1u;
  if constexpr (sizeof(typename L::Scalar) == 4) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>(mask), x.value);
  } else {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(mask), x.value);
  }
}
#elif !defined(DISTILL_NO_SIMD) && defined(__AVX2__)
template <class L>
inline constexpr bool has_masks = !std::is_same_v<typename L::Arch, ScalarArch> && sizeof(L) == 32;

template <class L>
__m256i mask_of(std::size_t count) {
  if constexpr (sizeof(typename L::Scalar) == 4) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  } else {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(static_cast<long long>(count)), _mm256_setr_epi64x(0, 1, 2, 3));
  }
}

template <class L>
L load_masked(const typename L::Scalar* p, std::size_t count, L fill) {
  const __m256i mask = mask_of<L>(count);
  if constexpr (sizeof(typename L::Scalar) == 4) {
    return typename L::Batch(_mm256_blendv_ps(fill.value, _mm256_maskload_ps(p, mask), _mm256_castsi256_ps(mask)));
  } else {
    return typename L::Batch(_mm256_blendv_pd(fill.value, _mm256_maskload_pd(p, mask), _mm256_castsi256_pd(mask)));
  }
}

/// By halves: a masked store takes dozens of operations on some processors.
template <class L>
void store_masked(L x, typename L::Scalar* p, std::size_t count) {
  if constexpr (sizeof(typename L::Scalar) == 4) {
    __m128 rest = _mm256_castps256_ps128(x.value);
    if (count & 4) {
      _mm_storeu_ps(p, rest);
      rest = _mm256_extractf128_ps(x.value, 1);
      p += 4;
    }
    if (count & 2) {
      _mm_storel_pi(reinterpret_cast<__m64*>(p), rest);
      rest = _mm_movehl_ps(rest, rest);
      p += 2;
    }
    if (count & 1) _mm_store_ss(p, rest);
  } else {
    __m128d rest = _mm256_castpd256_pd128(x.value);
    if (count & 2) {
      _mm_storeu_pd(p, rest);
      rest = _mm256_extractf128_pd(x.value, 1);
      p += 2;
    }
    if (count & 1) _mm_store_sd(p, rest);
  }
}
#else
template <class L>
inline constexpr bool has_masks = false;
template <class L>
L load_masked(const typename L::Scalar*, std::size_t, L) = delete;
template <class L>
void store_masked(L, typename L::Scalar*, std::size_t) = delete;
#endif

template <class L, class Stored>
inline constexpr bool converts_natively = converts_two_bytes<L> && (detail::format_of<Stored> == Format::float16 ||
                                                                    detail::format_of<Stored> == Format::brain16);

}  // namespace shim

/// Elements of a row between two tests of whether the sum so far is in range.
template <class L>
inline constexpr std::size_t chunk_size = 32 * L::width;

/// Elements of a chunk that are summed plainly, before their sum is added to a larger one.
template <class L>
inline constexpr std::size_t group_size = 4 * L::width;

/// Prefetches the cache lines of `count` elements from each p on, which need not exist. Inlined by force, as must be
/// any caller that does nothing else: gcc drops calls of a function that only prefetches.
template <class... Stored>
[[gnu::always_inline]] inline void prefetch([[maybe_unused]] std::size_t count, [[maybe_unused]] const Stored*... p) {
#if defined(__GNUC__)
  constexpr std::size_t of_one_line = 64 / (std::max)({sizeof(Stored)...});
  for (std::size_t i = 0; i < count; i += of_one_line) (__builtin_prefetch(p + i), ...);
#endif
}

/// `width` stored numbers, as lanes of the type that they are computed in.
template <class L, class Stored>
L load(const Stored* p) {
  using T = typename L::Scalar;
  if constexpr (std::is_same_v<typename L::Arch, ScalarArch>) {
    return detail::load_scalar<T>(p);
  } else if constexpr (std::is_same_v<Stored, T>) {
    return L::Batch::load_unaligned(p);
  } else if constexpr (shim::converts_natively<L, Stored>) {
    return shim::load_two_bytes<detail::format_of<Stored>, L>(p);
  } else {
    alignas(64) T buffer[L::width];
    for (std::size_t i = 0; i < L::width; ++i) buffer[i] = detail::load_scalar<T>(p + i);
    return L::Batch::load_aligned(buffer);
  }
}

// What the innermost loops call is inlined by force: otherwise gcc's choice depends on everything in a file.

/// The next `width` of `count` stored numbers; where there are fewer, `fill` (nothing after them is read).
template <class L, class Stored>
[[gnu::always_inline]] inline L load_up_to(const Stored* p, std::size_t count, typename L::Scalar fill) {
  if (count >= L::width) return load<L>(p);
  using T = typename L::Scalar;
  if constexpr (shim::has_masks<L> && std::is_same_v<Stored, T>) {
    return shim::load_masked<L>(p, count, L(fill));
  } else {
    alignas(64) T buffer[L::width];
    for (T& lane : buffer) lane = fill;
    for (std::size_t i = 0; i < count; ++i) buffer[i] = detail::load_scalar<T>(p + i);
    return load<L>(buffer);
  }
}

/// Rounds each lane once to the stored type.
template <class T, class Arch, class Stored>
void store(Lanes<T, Arch> x, Stored* p) {
  using L = Lanes<T, Arch>;
  if constexpr (std::is_same_v<Arch, ScalarArch>) {
    detail::store_scalar(p, x.value);
  } else if constexpr (std::is_same_v<Stored, T>) {
    x.value.store_unaligned(p);
  } else if constexpr (shim::converts_natively<L, Stored>) {
    shim::store_two_bytes<detail::format_of<Stored>>(x, p);
  } else {
    alignas(64) T buffer[L::width];
    x.value.store_aligned(buffer);
    for (std::size_t i = 0; i < L::width; ++i) detail::store_scalar(p + i, buffer[i]);
  }
}

/// Stores the next `width` of `count` numbers; nothing after them is written.
template <class T, class Arch, class Stored>
[[gnu::always_inline]] inline void store_up_to(Lanes<T, Arch> x, Stored* p, std::size_t count) {
  if (count >= Lanes<T, Arch>::width) {
    store(x, p);
  } else if constexpr (shim::has_masks<Lanes<T, Arch>> && std::is_same_v<Stored, T>) {
    shim::store_masked(x, p, count);
  } else {
    alignas(64) T buffer[Lanes<T, Arch>::width];
    store(x, buffer);
    for (std::size_t i = 0; i < count; ++i) detail::store_scalar(p + i, buffer[i]);
  }
}

/// Adds or stores `width` of `count` gradient elements.
template <class T, class Arch, class Stored>
[[gnu::always_inline]] inline void put(Lanes<T, Arch> value, Stored* grad, std::size_t count, bool accumulate) {
  if (accumulate) value = value + load_up_to<Lanes<T, Arch>>(grad, count, T(0));
  store_up_to(value, grad, count);
}

/// The same for the elements from i on of a gradient's row of n.
template <class T, class Arch, class Stored>
[[gnu::always_inline]] inline void put(Lanes<T, Arch> value, const GradientRow<Stored>& grad, std::size_t i,
                                       std::size_t n) {
  put(value, grad.data + i, n - i, grad.accumulate);
}

/// Adds or stores a row of n gradient elements.
template <class L, class Stored>
void put_row(const typename L::Scalar* values, std::size_t n, const GradientRow<Stored>& grad) {
  for (std::size_t i = 0; i < n; i += L::width) put(load_up_to<L>(values + i, n - i, 0), grad, i, n);
}

/// x in the first `count` lanes, 0 in the others.
template <class L>
L first_lanes(L x, std::size_t count) {
  if (count >= L::width) return x;
  alignas(64) typename L::Scalar buffer[L::width];
  store(x, buffer);
  return load_up_to<L>(buffer, count, 0);
}

/// Transposes: lane i of vectors[j] and lane j of vectors[i] are swapped.
template <class L>
[[gnu::always_inline]] inline void transpose(L (&vectors)[L::width]) {
  if constexpr (shim::transposes_natively<L>) {
    shim::transpose(vectors);
  } else if constexpr (L::width > 1) {
    alignas(64) typename L::Scalar rows[L::width][L::width], columns[L::width][L::width];
    for (std::size_t i = 0; i < L::width; ++i) store(vectors[i], rows[i]);
    for (std::size_t i = 0; i < L::width; ++i) {
      for (std::size_t j = 0; j < L::width; ++j) columns[j][i] = rows[i][j];
    }
    for (std::size_t j = 0; j < L::width; ++j) vectors[j] = load<L>(columns[j]);
  }
}

/// x with another value in one lane.
template <class T, class Arch>
Lanes<T, Arch> with_lane(Lanes<T, Arch> x, std::size_t lane, T value) {
  alignas(64) T buffer[Lanes<T, Arch>::width];
  store(x, buffer);
  buffer[lane] = value;
  return load<Lanes<T, Arch>>(buffer);
}

/// The largest lane, NaN left out; -infinity if all are NaN.
template <class T, class Arch>
T reduce_max_number(Lanes<T, Arch> x) {
  alignas(64) T buffer[Lanes<T, Arch>::width];
  store(x, buffer);
  T largest = -std::numeric_limits<T>::infinity();
  for (const T lane : buffer) largest = lane > largest ? lane : largest;
  return largest;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
