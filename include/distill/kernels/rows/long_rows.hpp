// Few long rows: a thread for each would leave others idle, so the executor runs their parts.
#pragma once

#include <cstddef>

#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/rows/row_parts.hpp>
#include <distill/kernels/rows/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Rows whose exponentials are kept at once.
inline constexpr std::size_t long_rows_at_once = 8;

/// Whether there are too few rows for the executor's threads, as far as one can tell, and each has parts.
inline bool are_few_long_rows(std::size_t rows, std::size_t cols, const RowOptions& options) {
  return !options.executor.is_sequential() && cols > part_size && rows <= 64;
}

/// As reduce_rows, for row kernels that take parts: make_row(i) is that of row i.
template <class G, class IsIgnored, class MakeRow>
double reduce_long_rows(RowSizes sizes, const GradientTarget<MatrixView<G>>& grad, const RowOptions& options,
                        Reduction reduction, double weight, const IsIgnored& is_ignored, const MakeRow& make_row) {
  using Shared = SharedRow<decltype(make_row(0)), G>;
  RowOptions in_this_thread = options;
  in_this_thread.executor = {};
  return reduce_groups<long_rows_at_once, false>(
      sizes, grad, in_this_thread, reduction, weight, is_ignored,
      [&](const std::size_t* rows, const double* factors, std::size_t count, double* losses) {
        detail::ScratchFrame frame;
        Shared* const shared = frame.take<Shared>(count);
        for (std::size_t k = 0; k < count; ++k) {
          shared[k] = Shared{make_row(rows[k]), factors[k], gradient_row(grad, rows[k]), true};
        }
        rows_in_parts(shared, count, options.executor, losses);
      });
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
