// The sum over a row: in lanes within a chunk, in double across chunks.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

#include <distill/core/version.hpp>
#include <distill/kernels/lanes.hpp>
#include <distill/kernels/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// What sums of L's lanes are added up in.
template <class L>
using total_t = std::conditional_t<std::is_same_v<typename L::Scalar, long double>, long double, double>;

/// The sum of term(i) over the vectors of a row of n, i their first elements.
template <class L, class Term>
total_t<L> sum_row(std::size_t n, const Term& term) {
  total_t<L> total = 0;
  for (std::size_t begin = 0; begin < n; begin += chunk_size<L>) {
    L sum(typename L::Scalar(0));
    for (std::size_t i = begin; i < (std::min)(n, begin + chunk_size<L>); i += L::width) sum = sum + term(i);
    total += static_cast<total_t<L>>(reduce_add(sum));
  }
  return total;
}

/// The same for N sums at once: term(i) returns an array of N vectors.
template <class L, std::size_t N, class Term>
std::array<total_t<L>, N> sum_row_of(std::size_t n, const Term& term) {
  std::array<total_t<L>, N> totals{};
  for (std::size_t begin = 0; begin < n; begin += chunk_size<L>) {
    std::array<L, N> sums;
    for (L& sum : sums) sum = L(typename L::Scalar(0));
    for (std::size_t i = begin; i < (std::min)(n, begin + chunk_size<L>); i += L::width) {
      const std::array<L, N> terms = term(i);
      for (std::size_t k = 0; k < N; ++k) sums[k] = sums[k] + terms[k];
    }
    for (std::size_t k = 0; k < N; ++k) totals[k] += static_cast<total_t<L>>(reduce_add(sums[k]));
  }
  return totals;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
