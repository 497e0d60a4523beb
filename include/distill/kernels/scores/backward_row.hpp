// Rows of the vector-Jacobian products of softmax and log_softmax.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/exp2.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// body(divide), divide(x) = x / temperature. The factor of a temperature next to 0 is too large a number, and so is
/// made of two: infinity times 0 would be NaN.
template <class L, class Body>
void with_division(double temperature, const Body& body) {
  using T = typename L::Scalar;
  constexpr double most = static_cast<double>((std::numeric_limits<T>::max)());
  const double inverse = 1 / temperature;
  if (inverse <= most) {
    const L factor(static_cast<T>(inverse));
    body([=](L x) { return x * factor; });
  } else {
    const L root(static_cast<T>((std::min)(1 / std::sqrt(temperature), most)));
    body([=](L x) { return x * root * root; });
  }
}

/// grad = p * (g - sum(p * g)) / temperature
template <class L, class Output, class GradOutput, class Grad>
void softmax_backward_row(const Output* p, const GradOutput* g, std::size_t n, double temperature,
                          const GradientRow<Grad>& grad) {
  using T = typename L::Scalar;
  const auto at = [n](const auto* x, std::size_t i) { return load_up_to<L>(x + i, n - i, T(0)); };
  const L mean(static_cast<T>(sum_row<L>(n, [&](std::size_t i) { return at(p, i) * at(g, i); })));
  with_division<L>(temperature, [&](const auto& divide) {
    for (std::size_t i = 0; i < n; i += L::width) {
      put(divide(at(p, i) * (at(g, i) - mean)), grad, i, n);
    }
  });
}

/// grad = (g - exp(log_p) * sum(g)) / temperature
template <class L, class Output, class GradOutput, class Grad>
void log_softmax_backward_row(const Output* log_p, const GradOutput* g, std::size_t n, double temperature,
                              const GradientRow<Grad>& grad) {
  using T = typename L::Scalar;
  const auto at = [n](const auto* x, std::size_t i) { return load_up_to<L>(x + i, n - i, T(0)); };
  const L sum(static_cast<T>(sum_row<L>(n, [&](std::size_t i) { return at(g, i); })));
  ExpScale<L> scale(log2_e);
  scale.set_offset(0);
  with_division<L>(temperature, [&](const auto& divide) {
    for (std::size_t i = 0; i < n; i += L::width) {
      const L p = exp2(exponent(at(log_p, i), scale));
      put(divide(at(g, i) - p * sum), grad, i, n);
    }
  });
}

}  // namespace kernels

namespace detail {

/// Checks the arguments of both backward functions, and runs `row_kernel` on each row.
template <class Output, class GradOutput, class Grad, class RowKernel>
void backward(const char* who, const MatrixView<Output>& output, const MatrixView<GradOutput>& grad_output, Grad&& grad,
              double temperature, Executor executor, const RowKernel& row_kernel) {
  const auto target = gradient_target<MatrixView<std::remove_const_t<Output>>>(grad);
  require_positive_finite(who, "temperature", temperature);
  require_view(who, "output", output);
  require_view(who, "grad_output", grad_output);
  require_view(who, "grad_logits", target.view);
  require_same_shape(who, "grad_output", grad_output, "output", output);
  require_same_shape(who, "grad_logits", target.view, "output", output);
  require_no_overlap(who, "grad_logits", target.view, "output", output, true);
  require_no_overlap(who, "grad_logits", target.view, "grad_output", grad_output, true);
  using L = kernels::Lanes<compute_t<Output, GradOutput, element_t<decltype(target.view)>>, kernels::DefaultArch>;
  kernels::for_each_row(output.rows, output.cols, executor, [&](std::size_t i) {
    row_kernel(L{}, const_row(output, i), const_row(grad_output, i), std::size_t{output.cols}, temperature,
               kernels::gradient_row(target, i));
  });
}

}  // namespace detail
}  // namespace DISTILL_ABI
}  // namespace distill
