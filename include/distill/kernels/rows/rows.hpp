// The loop over rows: weights, ignored rows, per-row losses, the reduction, and the executor. For losses whose rows do
// not depend on one another.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <type_traits>

#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/rows/weighted.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Calls body with the precision as a type, so that it can be a template argument. Double has one path.
template <class L, class Body>
auto with_precision(bool high, const Body& body) {
  if constexpr (std::is_same_v<typename L::Scalar, float>) {
    if (high) return body(std::integral_constant<Precision, Precision::high>{});
  }
  return body(std::integral_constant<Precision, Precision::standard>{});
}

/// Calls body(begin, end) for blocks of rows, each large enough for a thread.
template <class Body>
void for_each_block(std::size_t rows, std::size_t row_elements, Executor executor, const Body& body) {
  constexpr std::size_t elements_per_block = 16384;
  if (rows == 0) return;  // of no elements, too
  const std::size_t block = std::max<std::size_t>(1, elements_per_block / row_elements);
  const auto run = [&](std::size_t k) {
    const ExceptionsHeld held;  // in the thread that computes, and not in what else an executor does
    body(k * block, (std::min)(rows, (k + 1) * block));
  };
  const std::size_t blocks = (rows + block - 1) / block;
  if (blocks <= 1) executor = {};
  executor(blocks, run);
}

/// Calls body(i) for each row.
template <class Body>
void for_each_row(std::size_t rows, std::size_t row_elements, Executor executor, const Body& body) {
  for_each_block(rows, row_elements, executor, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) body(i);
  });
}

using detail::fill_row;

/// What the reduction needs to know about rows.
struct RowSizes {
  std::size_t rows;
  std::size_t elements;  // that a row has in memory
  std::size_t terms;     // that Reduction::per_element counts in a row
};

/// Sets the gradient of a loss of weight 0 to 0.
template <class View>
void clear_gradient(const GradientTarget<View>& grad, std::size_t samples) {
  for (std::size_t i = 0; grad.view.data && !grad.accumulate && i < samples; ++i) fill_row(grad.view, i, 0);
}

/// What rows of a gradient hold before a loss of weight 0 is added: NaN times 0 would be NaN.
template <class View>
class KeptGradient {
  using Stored = std::remove_pointer_t<decltype(View::data)>;

 public:
  template <class IsLive>
  void keep(const View& view, RowSizes sizes, const IsLive& is_live) {
    frame_.emplace();
    numbers_ = frame_->template take<Stored>(sizes.rows * sizes.elements);
    Stored* next = numbers_;
    for (std::size_t i = 0; i < sizes.rows; ++i) {
      if (is_live(i)) detail::for_each_element(view, i, [&](const Stored* element) { *next++ = *element; });
    }
  }
  /// If anything was kept.
  template <class IsLive>
  void put_back(const View& view, RowSizes sizes, const IsLive& is_live) const {
    const Stored* next = numbers_;
    for (std::size_t i = 0; next && i < sizes.rows; ++i) {
      if (is_live(i)) detail::for_each_element(view, i, [&](Stored* element) { *element = *next++; });
    }
  }

 private:
  std::optional<detail::ScratchFrame> frame_;
  Stored* numbers_ = nullptr;
};

/// The factor of a softened loss that keeps its gradient's size at any temperature, if it is asked for. A number, as
/// temperatures are checked.
template <class Loss>
double soft_scale(const Loss& loss) {
  return loss.scale_by_temperature_squared ? loss.temperature * loss.temperature : 1;
}

/// The weights of a batch whose samples depend on one another: a sample of weight w counts as w samples; one of weight 0
/// is not read.
class SampleWeights {
 public:
  SampleWeights(const PerRow<const float>& weights, std::size_t samples) : weights_(weights), samples_(samples) {
    for_each([&](std::size_t, double w) { total_ += w; });
  }
  double operator()(std::size_t i) const { return weights_ ? static_cast<double>(weights_[i]) : 1; }
  double total() const { return total_; }

  /// Calls body(i, weight) for each sample that counts.
  template <class Body>
  void for_each(const Body& body) const {
    for (std::size_t i = 0; i < samples_; ++i) {
      if (const double w = (*this)(i); w != 0) body(i, w);
    }
  }

  /// Sets losses, if there are any, and the gradient of what does not count to 0.
  template <class View>
  void clear_ignored(const GradientTarget<View>& grad, const PerRow<double>& losses) const {
    for (std::size_t i = 0; i < samples_; ++i) {
      if (losses) losses[i] = 0;
      if ((*this)(i) == 0 && grad.view.data && !grad.accumulate) fill_row(grad.view, i, 0);
    }
  }

 private:
  PerRow<const float> weights_;
  std::size_t samples_;
  double total_ = 0;
};

/// The sum of row weights that a sum over rows is divided by: of these rows, or of the batch that they are a part of.
inline double batch_weight(const RowOptions& options, double own) {
  return options.total_weight == 0 ? own : options.total_weight;
}

/// What a sum over rows is divided by; `terms` are those that Reduction::per_element counts in a row.
inline double reduction_divisor(Reduction reduction, double total_weight, std::size_t terms) {
  const double rows = reduction == Reduction::sum || total_weight == 0 ? 1 : total_weight;
  return reduction == Reduction::per_element && terms != 0 ? rows * static_cast<double>(terms) : rows;
}

/// Reduces the rows' losses to one number. `group_losses(rows, factors, count, losses)` writes the losses of up to
/// `width` rows, and their gradients times their factors; it is not called with rows that `is_ignored(i)` or that have
/// weight 0. Losses are summed in row order, whatever the executor did, so the total does not depend on it.
///
/// `holds_exceptions` unless the losses of a group are computed by an executor, which may do other work in this thread.
template <std::size_t width, bool holds_exceptions = true, class View, class IsIgnored, class GroupLosses>
double reduce_groups(RowSizes sizes, const GradientTarget<View>& grad, const RowOptions& options, Reduction reduction,
                     double weight, const IsIgnored& is_ignored, const GroupLosses& group_losses) {
  if (sizes.rows == 0) return 0;
  if (is_off(weight, options)) {
    clear_gradient(grad, sizes.rows);
    return 0;
  }
  const auto row_weight = [&](std::size_t i) -> double {
    return is_ignored(i) ? 0 : options.weights ? static_cast<double>(options.weights[i]) : 1;
  };
  double total_weight = 0;
  bool are_all_one = false;  // the weights
  if (options.weights) {
    for (std::size_t i = 0; i < sizes.rows; ++i) total_weight += row_weight(i);
  } else {
    std::size_t live = 0;
    for (std::size_t i = 0; i < sizes.rows; ++i) live += is_ignored(i) ? 0u : 1u;
    total_weight = static_cast<double>(live);
    are_all_one = live == sizes.rows;
  }
  const double share = weight / reduction_divisor(reduction, batch_weight(options, total_weight), sizes.terms);

  const auto is_live = [&](std::size_t i) { return row_weight(i) != 0; };
  KeptGradient<View> kept;
  if (weight == 0 && grad.view.data && grad.accumulate) kept.keep(grad.view, sizes, is_live);
  double* row_losses = options.losses ? options.losses.data() : nullptr;
  // The weighted sum of a block's losses. Not a template of what takes them: all of a loss would be compiled twice.
  const auto compute = [&](std::size_t begin, std::size_t end) {
    [[maybe_unused]] const std::conditional_t<holds_exceptions, ExceptionsHeld, NothingHeld> held;
    std::size_t rows[width], count = 0;
    double weights[width], factors[width], losses[width], sum = 0;
    const auto put_loss = [&](std::size_t i, double loss, double w) {
      if (row_losses) row_losses[i] = loss;
      sum += w * loss;
    };
    const auto flush = [&] {
      group_losses(static_cast<const std::size_t*>(rows), static_cast<const double*>(factors), count, losses);
      for (std::size_t k = 0; k < count; ++k) put_loss(rows[k], losses[k], weights[k]);
      count = 0;
    };
    std::fill_n(weights, width, 1);
    std::fill_n(factors, width, share);
    std::size_t i = begin;
    for (; are_all_one && i + width <= end; i += width) {  // no test of each row
      for (std::size_t k = 0; k < width; ++k) rows[k] = i + k;
      count = width;
      flush();
    }
    for (; i < end; ++i) {
      const double w = row_weight(i);
      if (w == 0) {
        if (grad.view.data && !grad.accumulate) fill_row(grad.view, i, 0);
        put_loss(i, 0, 0);
        continue;
      }
      rows[count] = i;
      weights[count] = w;
      factors[count++] = share * w;
      if (count == width) flush();
    }
    if (count > 0) flush();
    return sum;
  };
  double total = 0;
  if (options.executor.is_sequential()) {
    total = compute(0, sizes.rows);
  } else {
    detail::ScratchFrame frame;
    if (!row_losses) row_losses = frame.take<double>(sizes.rows);
    for_each_block(sizes.rows, sizes.elements, options.executor,
                   [&](std::size_t begin, std::size_t end) { compute(begin, end); });
    for (std::size_t i = 0; i < sizes.rows; ++i) {
      if (const double w = row_weight(i); w != 0) total += w * row_losses[i];
    }
  }
  if (weight == 0) {  // of a row of NaN the gradient is not 0
    clear_gradient(grad, sizes.rows);
    kept.put_back(grad.view, sizes, is_live);
  }
  return weighted_loss(share, total);
}

/// The same row by row: `row_loss(i, factor)` returns the loss of row i.
template <class View, class IsIgnored, class RowLoss>
double reduce_rows(RowSizes sizes, const GradientTarget<View>& grad, const RowOptions& options, Reduction reduction,
                   double weight, const IsIgnored& is_ignored, const RowLoss& row_loss) {
  return reduce_groups<1>(sizes, grad, options, reduction, weight, is_ignored,
                          [&](const std::size_t* rows, const double* factors, std::size_t, double* losses) {
                            losses[0] = row_loss(rows[0], factors[0]);
                          });
}

/// The same for samples of feature maps: one whose loss is NaN gets a gradient of NaN.
template <class T, class G, class SampleLoss>
double reduce_maps(const FeatureMapView<T>& student, std::size_t terms, const GradientTarget<FeatureMapView<G>>& grad,
                   const RowOptions& options, Reduction reduction, double weight, const SampleLoss& sample_loss) {
  return reduce_rows(
      {student.batch, student.channels * student.positions(), terms}, grad, options, reduction, weight,
      [](std::size_t) { return false; },
      [&](std::size_t i, double factor) {
        const double loss = sample_loss(i, factor);
        if (std::isnan(loss) && grad.view.data) fill_row(grad.view, i, std::numeric_limits<float>::quiet_NaN());
        return loss;
      });
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
