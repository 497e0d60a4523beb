// softmax with a temperature, and its vector-Jacobian product.
#pragma once

#include <cstddef>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/scores/backward_row.hpp>
#include <distill/kernels/scores/softmax_row.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Optional arguments of softmax, log_softmax and their backward functions.
struct SoftmaxOptions {
  Precision precision = Precision::standard;  ///< no effect at present: both meet the figures of high
  Executor executor = {};
};

namespace detail {

/// Checks the arguments of softmax and log_softmax, and runs `row_kernel` on each row.
template <class Logits, class Out, class RowKernel>
void softmax_rows(const char* who, const MatrixView<Logits>& logits, const MatrixView<Out>& out, double temperature,
                  const SoftmaxOptions& options, const RowKernel& row_kernel) {
  static_assert(!std::is_const_v<Out>, "distill: this out is const. Pass a matrix or view that can be written to");
  require_positive_finite(who, "temperature", temperature);
  require_view(who, "logits", logits);
  require_view(who, "out", out);
  require_same_shape(who, "out", out, "logits", logits);
  require_no_overlap(who, "out", out, "logits", logits, true);
  using L = kernels::Lanes<compute_t<Logits, Out>, kernels::DefaultArch>;
  kernels::for_each_row(logits.rows, logits.cols, options.executor, [&](std::size_t i) {
    row_kernel(L{}, const_row(logits, i), std::size_t{logits.cols}, temperature, out.row(i));
  });
}

}  // namespace detail

/// Softmax of each row at a temperature.
///
/// Formula     out_ij = exp(logits_ij / T) / sum_k exp(logits_ik / T)
/// Shapes      logits, out: rows x cols, float, double, half or bfloat16, independently; out may be exactly logits'
///             memory
/// Ranges      temperature > 0 and finite; out in [0, 1], rows sum to 1. -infinity gives 0. A row with NaN or
///             +infinity, or with nothing but -infinity, gives NaN
/// Throws      std::invalid_argument on shapes that differ, 0 columns, null, a stride below cols, overlap, a
///             temperature out of range; before anything is written
/// Accuracy    float: <= 4 ULP for results of at least 2^-126, in both precisions; smaller ones may be 0
/// Cost        one read of logits, one write of out; scratch: one row
template <class Logits, class Out>
void softmax(const Logits& logits, Out&& out, double temperature = 1, const SoftmaxOptions& options = {}) {
  detail::softmax_rows("softmax", as_matrix(logits), as_matrix(out), temperature, options,
                       [](auto lanes, auto... row) { kernels::softmax_row<decltype(lanes)>(row...); });
}

/// The vector-Jacobian product of softmax: from d loss / d output to d loss / d logits.
///
/// Formula     grad_logits_ij = p_ij (g_ij - sum_k p_ik g_ik) / T, with p = output of softmax, g = grad_output
/// Shapes      all rows x cols, float, double, half or bfloat16, independently; grad_logits is overwritten, or with
///             add_to(grad_logits) added to, and may be exactly the memory of output or of grad_output
/// Throws      as softmax
/// Cost        two sweeps over the inputs, one write; no scratch
template <class Output, class GradOutput, class GradLogits>
void softmax_backward(const Output& output, const GradOutput& grad_output, GradLogits&& grad_logits,
                      double temperature = 1, const SoftmaxOptions& options = {}) {
  detail::backward("softmax_backward", as_matrix(output), as_matrix(grad_output), grad_logits, temperature,
                   options.executor,
                   [](auto lanes, auto... row) { kernels::softmax_backward_row<decltype(lanes)>(row...); });
}

}  // namespace DISTILL_ABI
}  // namespace distill
