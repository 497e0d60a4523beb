// One row of the distance between sorted probabilities, of vocabularies that may differ.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <distill/core/logit_transform.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/feature_row.hpp>
#include <distill/kernels/rows/safe_sum.hpp>
#include <distill/kernels/scores/backward_row.hpp>
#include <distill/kernels/scores/softmax_row.hpp>
#include <distill/kernels/scores/transform_row.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// sum |q - p| of the sorted probabilities, the shorter row padded with zeros; writes `factor` times its gradient.
template <class L, class S, class T>
double sorted_row(const S* student, std::size_t n, double temperature, const T* teacher, std::size_t teacher_n,
                  double teacher_temperature, const LogitTransform& logits, bool transforms_teacher, double factor,
                  const GradientRow<S>& grad) {
  using C = typename L::Scalar;
  struct Ranked {
    C q;
    std::uint32_t index;
  };
  detail::ScratchFrame frame;
  C* const z = frame.take<C>(n);
  C* const q = frame.take<C>(n);
  C* const g = frame.take<C>(n);
  C* const p = frame.take<C>(teacher_n);
  Ranked* const ranked = frame.take<Ranked>(n);

  TransformRow<L> transform(logits, true), teacher_transform(logits, transforms_teacher);
  transform.forward(student, n, z);
  teacher_transform.forward(teacher, teacher_n, p);
  softmax_row<L>(z, n, temperature, q);
  softmax_row<L>(p, teacher_n, teacher_temperature, p);
  // sorting needs an order, which NaN lacks; where one number is NaN all are
  if (std::isnan(q[0]) || std::isnan(p[0])) return poisoned_row(grad.data, n);
  for (std::size_t j = 0; j < n; ++j) ranked[j] = {q[j], static_cast<std::uint32_t>(j)};
  std::sort(ranked, ranked + n,
            [](const Ranked& a, const Ranked& b) { return a.q != b.q ? a.q > b.q : a.index < b.index; });
  // not std::greater, whose code units with other instruction sets would share
  std::sort(p, p + teacher_n, [](C a, C b) { return a > b; });

  double value = 0;
  for (std::size_t r = 0; r < n; ++r) {
    const double difference = static_cast<double>(ranked[r].q) - (r < teacher_n ? static_cast<double>(p[r]) : 0);
    value += std::abs(difference);
    g[ranked[r].index] = static_cast<C>(difference > 0 ? factor : difference < 0 ? -factor : 0);
  }
  for (std::size_t r = n; r < teacher_n; ++r) value += static_cast<double>(p[r]);
  if (grad) {
    softmax_backward_row<L>(q, g, n, temperature, GradientRow<C>{g});
    transform.backward(z, n, g);
    put_row<L>(g, n, grad);
  }
  return (std::min)(value, 2.0);  // which the rounding of probabilities may leave
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
