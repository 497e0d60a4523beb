// The sum over a row: in lanes within a chunk, in double across chunks.
#pragma once

#include <algorithm>
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

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
