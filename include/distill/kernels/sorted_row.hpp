// One row of the distance between sorted probabilities, of vocabularies that need not be the same.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>

#include <distill/core/logit_transform.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/memory.hpp>
#include <distill/kernels/softmax_row.hpp>
#include <distill/kernels/transform_row.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// sum |q - p| of the sorted probabilities, the shorter row padded with zeros; writes `factor` times its gradient.
template <class L, class S, class T>
double sorted_row(const S* student, std::size_t n, double temperature, const T* teacher, std::size_t teacher_n,
                  double teacher_temperature, const LogitTransform& logits, bool transforms_teacher, double factor,
                  S* grad, bool accumulate) {
  using C = typename L::Scalar;
  struct Ranked {
    C q;
    std::uint32_t index;
  };
  const auto bytes = [](std::size_t size) { return (size + 63) / 64 * 64; };
  const std::size_t student_bytes = bytes(n * sizeof(C)), teacher_bytes = bytes(teacher_n * sizeof(C));
  char* memory =
      static_cast<char*>(detail::scratch().classes.reserve(2 * student_bytes + teacher_bytes + n * sizeof(Ranked)));
  C* const z = reinterpret_cast<C*>(memory);
  C* const slope = reinterpret_cast<C*>(memory + student_bytes);
  C* const p = reinterpret_cast<C*>(memory + 2 * student_bytes);
  Ranked* const ranked = reinterpret_cast<Ranked*>(memory + 2 * student_bytes + teacher_bytes);

  TransformRow<L> transform(logits, true), teacher_transform(logits, transforms_teacher);
  transform.forward(student, n, z);
  teacher_transform.forward(teacher, teacher_n, p);
  softmax_row<L>(z, n, temperature, slope);
  softmax_row<L>(p, teacher_n, teacher_temperature, p);
  // sorting needs an order, which NaN has not; where one number is NaN all are
  if (std::isnan(slope[0]) || std::isnan(p[0])) {
    for (std::size_t j = 0; grad && j < n; ++j) detail::store_scalar(grad + j, std::nan(""));
    return std::nan("");
  }
  for (std::size_t j = 0; j < n; ++j) ranked[j] = {slope[j], static_cast<std::uint32_t>(j)};
  std::sort(ranked, ranked + n,
            [](const Ranked& a, const Ranked& b) { return a.q != b.q ? a.q > b.q : a.index < b.index; });
  std::sort(p, p + teacher_n, std::greater<C>());

  double value = 0, slope_sum = 0;
  for (std::size_t r = 0; r < n; ++r) {
    const double q = static_cast<double>(ranked[r].q);
    const double difference = q - (r < teacher_n ? static_cast<double>(p[r]) : 0);
    value += std::abs(difference);
    const double own = difference > 0 ? q : difference < 0 ? -q : 0;
    slope_sum += own;
    slope[ranked[r].index] = static_cast<C>(own);
  }
  for (std::size_t r = n; r < teacher_n; ++r) value += static_cast<double>(p[r]);
  if (grad) {
    for (std::size_t r = 0; r < n; ++r) {
      const double q = static_cast<double>(ranked[r].q), own = static_cast<double>(slope[ranked[r].index]);
      slope[ranked[r].index] = static_cast<C>(factor / temperature * (own - q * slope_sum));
    }
    transform.backward(z, n, slope);
    put_row<L>(slope, n, grad, accumulate);
  }
  return value;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
