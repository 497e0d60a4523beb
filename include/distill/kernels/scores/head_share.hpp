// Where a student differs from its teacher: in the classes that the teacher prefers, or in the others.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// The share of the head in sum |p - q|. The tail is the least probable classes of p that have at most `tail_mass`
/// together, found by halving, without sorting all; classes of equal p are ordered by index.
template <class C>
double head_share(const C* q, const C* p, std::size_t n, double tail_mass) {
  struct Class {
    C p, gap;
    std::uint32_t index;
  };
  detail::ScratchFrame frame;
  Class* const classes = frame.take<Class>(n);
  double all = 0;
  for (std::size_t j = 0; j < n; ++j) {
    classes[j] = {p[j], std::abs(p[j] - q[j]), static_cast<std::uint32_t>(j)};
    all += static_cast<double>(classes[j].gap);
  }
  if (!(all > 0)) return all == 0 ? 0.5 : all;  // NaN in the row
  const auto by_probability = [](const Class& a, const Class& b) { return a.p != b.p ? a.p < b.p : a.index < b.index; };
  double mass = 0, tail = 0;  // of the classes known to be in the tail: those before `begin`
  std::size_t begin = 0, end = n;
  while (begin < end) {
    const std::size_t middle = begin + (end - begin) / 2;
    std::nth_element(classes + begin, classes + middle, classes + end, by_probability);
    double part_mass = 0, part = 0;
    for (std::size_t j = begin; j <= middle; ++j) {
      part_mass += static_cast<double>(classes[j].p);
      part += static_cast<double>(classes[j].gap);
    }
    if (mass + part_mass <= tail_mass) {
      mass += part_mass;
      tail += part;
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return (all - tail) / all;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
