// The sum over a row: in lanes within a chunk, in double across chunks.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

#include <distill/core/version.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// The type in which sums of L's lanes are added up.
template <class L>
using total_t = std::conditional_t<std::is_same_v<typename L::Scalar, long double>, long double, double>;

/// The sum of a chunk's vectors, each at its place in the chunk. In groups, as the roundings of 32 equal terms would add up.
template <class L>
class ChunkSum {
 public:
  [[gnu::always_inline]] void add(L term, std::size_t place) {
    group_ = group_ + term;
    if (place % group_size<L> == group_size<L> - L::width) {
      sum_ = sum_ + group_;
      group_ = L(typename L::Scalar(0));
    }
  }
  total_t<L> total() const { return static_cast<total_t<L>>(reduce_add(sum_ + group_)); }

 private:
  L sum_ = L(typename L::Scalar(0)), group_ = L(typename L::Scalar(0));
};

/// The sum of term(i) over the vectors of a row of n, i their first elements.
template <class L, class Term>
total_t<L> sum_row(std::size_t n, const Term& term) {
  total_t<L> total = 0;
  for (std::size_t begin = 0; begin < n; begin += chunk_size<L>) {
    ChunkSum<L> sum;
    for (std::size_t i = begin; i < (std::min)(n, begin + chunk_size<L>); i += L::width) sum.add(term(i), i - begin);
    total += sum.total();
  }
  return total;
}

/// The same for N sums at once: term(i) returns an array of N vectors.
template <class L, std::size_t N, class Term>
std::array<total_t<L>, N> sum_row_of(std::size_t n, const Term& term) {
  std::array<total_t<L>, N> totals{};
  for (std::size_t begin = 0; begin < n; begin += chunk_size<L>) {
    std::array<ChunkSum<L>, N> sums;
    for (std::size_t i = begin; i < (std::min)(n, begin + chunk_size<L>); i += L::width) {
      const std::array<L, N> terms = term(i);
      for (std::size_t k = 0; k < N; ++k) sums[k].add(terms[k], i - begin);
    }
    for (std::size_t k = 0; k < N; ++k) totals[k] += sums[k].total();
  }
  return totals;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
