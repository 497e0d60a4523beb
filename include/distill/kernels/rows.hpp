// The loop over rows that all losses share: weights, ignored rows, per-row losses, the reduction, and the executor.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Calls body with the precision as a type, so that it can be a template argument.
template <class Body>
auto with_precision(bool high, const Body& body) {
  return high ? body(std::integral_constant<Precision, Precision::high>{})
              : body(std::integral_constant<Precision, Precision::standard>{});
}

/// Calls body(i) for each row; an executor gets blocks of rows that are worth a thread's while.
template <class Body>
void for_each_row(std::size_t rows, std::size_t row_elements, Executor executor, const Body& body) {
  constexpr std::size_t elements_per_block = 16384;
  const std::size_t block = std::max<std::size_t>(1, elements_per_block / row_elements);
  const auto run = [&](std::size_t k) {
    for (std::size_t i = k * block; i < (std::min)(rows, (k + 1) * block); ++i) body(i);
  };
  const std::size_t blocks = (rows + block - 1) / block;
  if (blocks <= 1) executor = {};
  executor(blocks, run);
}

using detail::fill_row;

/// The factor of a softened loss that keeps its gradient's size at any temperature, if it is asked for.
template <class Loss>
double soft_scale(const Loss& loss) {
  return loss.scale_by_temperature_squared ? loss.temperature * loss.temperature : 1;
}

/// What the reduction needs to know about a loss's rows.
struct RowSizes {
  std::size_t rows;
  std::size_t elements;  // that a row has in memory
  std::size_t terms;     // that Reduction::per_element counts in a row
};

/// Reduces the rows' losses to one number. `row_loss(i, factor)` returns the loss of row i and writes its gradient
/// times `factor`; it is not called for rows that `is_ignored(i)` or that have weight 0. Losses are summed in row
/// order, whatever the executor did, so the total does not depend on it.
template <class View, class IsIgnored, class RowLoss>
double reduce_rows(RowSizes sizes, const GradientTarget<View>& grad, const RowOptions& options, Reduction reduction,
                   double weight, const IsIgnored& is_ignored, const RowLoss& row_loss) {
  const std::size_t rows = sizes.rows;
  const auto row_weight = [&](std::size_t i) -> double {
    return is_ignored(i) ? 0 : options.weights ? static_cast<double>(options.weights[i]) : 1;
  };
  double divisor = 0;
  for (std::size_t i = 0; i < rows; ++i) divisor += row_weight(i);
  if (reduction == Reduction::sum || divisor == 0) divisor = 1;
  if (reduction == Reduction::per_element) divisor *= static_cast<double>(sizes.terms);

  const auto compute = [&](std::size_t i) -> double {
    const double w = row_weight(i);
    if (w != 0) return row_loss(i, weight * w / divisor);
    if (grad.view.data && !grad.accumulate) fill_row(grad.view, i, 0);
    return 0;
  };

  double total = 0;
  if (options.executor.is_sequential()) {
    for (std::size_t i = 0; i < rows; ++i) {
      const double loss = compute(i);
      if (options.losses) options.losses[i] = loss;
      if (const double w = row_weight(i); w != 0) total += w * loss;
    }
  } else {
    double* losses = options.losses;
    if (!losses) losses = static_cast<double*>(detail::scratch().losses.reserve(rows * sizeof(double)));
    for_each_row(rows, sizes.elements, options.executor, [&](std::size_t i) { losses[i] = compute(i); });
    for (std::size_t i = 0; i < rows; ++i) {
      if (const double w = row_weight(i); w != 0) total += w * losses[i];
    }
  }
  return weight * total / divisor;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
