// Rows of a loss that sums over pairs of one student and one teacher element, sum_j f_j(s_j, t_j).
//
// Sums use the lanes' type, in which squares of differences may overflow or underflow. A sum outside the safe range, or
// NaN, is recomputed in a wider type, one number at a time, before anything is written.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/safe_sum.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Rows of a student's and a teacher's numbers, and where the gradient goes; grad null: nowhere.
template <class S, class T>
struct PairRows {
  const S* student;
  const T* teacher;
  S* grad;
  std::size_t rows, cols;
  std::size_t student_stride, teacher_stride, grad_stride;
  bool accumulate;
};

/// What a pass over pairs does.
enum class PairPass { values, slope_sizes, gradient, values_and_gradient };

/// A pass over some rows and columns; the sum of values or of the slopes' magnitudes.
template <PairPass pass, class L, class Terms, class S, class T>
total_t<L> pass_pairs(const Terms& terms, const PairRows<S, T>& pairs, Range rows, Range cols, double factor) {
  const L scale(static_cast<typename L::Scalar>(factor));
  L sum(typename L::Scalar(0));
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    const auto row_terms = terms(r);
    const S* const s = pairs.student + r * pairs.student_stride;
    const T* const t = pairs.teacher + r * pairs.teacher_stride;
    S* const grad = pairs.grad ? pairs.grad + r * pairs.grad_stride : nullptr;
    const auto step = [&](std::size_t i, std::size_t count) {
      const auto term = row_terms(L{}, i, count);
      const L x = load_up_to<L>(s + i, count, term.padding()), y = load_up_to<L>(t + i, count, 0);
      if constexpr (pass == PairPass::values || pass == PairPass::values_and_gradient) sum = sum + term.value(x, y);
      if constexpr (pass == PairPass::slope_sizes) sum = sum + absolute(term.slope(x, y));
      if constexpr (pass == PairPass::gradient) put(term.slope(x, y) * scale, grad + i, count, pairs.accumulate);
      if constexpr (pass == PairPass::values_and_gradient) store_up_to(term.slope(x, y) * scale, grad + i, count);
    };
    std::size_t i = cols.begin;
    for (; i + L::width <= cols.end; i += L::width) step(i, L::width);
    if (i < cols.end) step(i, cols.end - i);
  }
  return static_cast<total_t<L>>(reduce_add(sum));
}

/// Writes (or adds) factor * df_rj / ds_rj to grad, unless that is null, and returns the sum of f_rj(s_rj, t_rj), which
/// is not finite if one of the numbers is not: grad must be poisoned then. grad may be the student. `terms(r)` are the
/// terms of row r: called with (lanes, j, count), they give f of the next `count` numbers from j on, that is value(s,
/// t) and slope(s, t) of lanes, and padding(), a student's number whose value with a teacher's 0 is 0. Where a number
/// is not finite, the value is not either; where all slopes are 0, all values are.
template <class L, class Terms, class S, class T>
total_t<Wide<L>> pair_rows(const Terms& terms, const PairRows<S, T>& pairs, double factor) {
  // What is written before a sum is known to be good must not be needed again.
  const bool in_one_pass = pairs.grad && !pairs.accumulate &&
                           static_cast<const void*>(pairs.grad) != static_cast<const void*>(pairs.student);
  const std::size_t rows_at_once = (std::max<std::size_t>)(1, chunk_size<L> / pairs.cols);
  total_t<Wide<L>> total = 0;
  for (std::size_t r = 0; r < pairs.rows; r += rows_at_once) {
    for (std::size_t j = 0; j < pairs.cols; j += chunk_size<L>) {
      const Range rows{r, (std::min)(pairs.rows, r + rows_at_once)}, cols{j, (std::min)(pairs.cols, j + chunk_size<L>)};
      const auto look = [&](auto pass, auto lanes) {
        return pass_pairs<decltype(pass)::value, decltype(lanes)>(terms, pairs, rows, cols, factor);
      };
      using Values = std::integral_constant<PairPass, PairPass::values>;
      using SlopeSizes = std::integral_constant<PairPass, PairPass::slope_sizes>;
      using Gradient = std::integral_constant<PairPass, PairPass::gradient>;
      using Both = std::integral_constant<PairPass, PairPass::values_and_gradient>;
      const double quick = in_one_pass ? look(Both{}, L{}) : look(Values{}, L{});
      if (is_safe_sum<L>(quick) || (quick == 0 && look(SlopeSizes{}, L{}) == 0)) {
        total += static_cast<total_t<Wide<L>>>(quick);
        if (pairs.grad && !in_one_pass) look(Gradient{}, L{});
      } else {
        const AllExceptionsHeld held;
        total += look(Values{}, Wide<L>{});
        if (pairs.grad) look(Gradient{}, Wide<L>{});
      }
    }
  }
  return total;
}

/// One row; NaN, and so is the gradient, if a number is not finite.
template <class L, class Terms, class S, class T>
double pair_row(const Terms& terms, const S* s, const T* t, std::size_t n, double factor, const GradientRow<S>& grad) {
  const auto total = pair_rows<L>(terms, PairRows<S, T>{s, t, grad.data, 1, n, n, n, n, grad.accumulate}, factor);
  return std::isfinite(total) ? finite_sum(total) : poisoned_row(grad.data, n);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
