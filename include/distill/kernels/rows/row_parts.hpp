// A row in parts. Their size is fixed, and their sums are joined in order, whether threads share a row or not: the bits
// of a result do not depend on that.
//
// A loss of a row takes three steps, each on a part of it:
//
//   sum(part)     returns the Sums of its exponentials
//   terms(part)   returns the TermSums of its classes, once the row has accepted its sums; some losses need none
//   write(part)   writes its gradient, once the row has accepted its terms
//
// A row that does not accept its sums is computed exactly.
#pragma once

#include <algorithm>
#include <cstddef>

#include <distill/core/executor.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/row_sums.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Classes in a part: enough for a thread, and whole chunks.
inline constexpr std::size_t part_size = 16384;

inline std::size_t part_count(std::size_t n) {
  return n <= part_size ? 1 : (n + part_size - 1) / part_size;
}
inline Range part_of_row(std::size_t n, std::size_t k) {
  return {k * part_size, (std::min)(n, (k + 1) * part_size)};
}

/// The joined sums of a row's parts.
template <class SumOfPart>
auto join_parts(std::size_t n, const SumOfPart& sum) {
  auto row = sum(Range{0, (std::min)(n, part_size)});
  for (std::size_t begin = part_size; begin < n; begin += part_size) {
    row.join(sum(Range{begin, (std::min)(n, begin + part_size)}));
  }
  return row;
}

/// The loss of a row. Its gradient times scale(row, accepted) is written: that is called when the row has accepted its
/// sums, or has not, and may change its terms. The row is used up.
template <class Row, class Grad, class Scale>
double whole_row_by(Row&& row, const GradientRow<Grad>& grad, const Scale& scale) {
  if (row.is_ordinary()) {
    const std::size_t n = row.size();
    detail::ScratchFrame frame;
    row.keep_in(frame, grad.data);
    if (row.accept(join_parts(n, [&](Range part) { return row.sum(part); }))) {
      const double factor = scale(row, true);
      if (!row.has_terms() || row.accept(join_parts(n, [&](Range part) { return row.terms(part); }))) {
        return row.value(join_parts(n, [&](Range part) { return row.write(part, factor, grad); }));
      }
      return row.exact(factor, grad);
    }
  }
  const double factor = scale(row, false);
  return row.exact(factor, grad);
}

/// The loss of a row; writes its gradient times `scale`.
template <class Row, class Grad>
double whole_row(Row&& row, double scale, const GradientRow<Grad>& grad) {
  return whole_row_by(row, grad, [scale](const auto&, bool) { return scale; });
}

/// A row among others whose parts are shared by threads.
template <class Row, class Grad>
struct SharedRow {
  Row row;
  double scale;
  GradientRow<Grad> grad;
  bool is_ordinary;
};

/// The same for rows of one length: the executor runs their parts.
template <class Row, class Grad>
void rows_in_parts(SharedRow<Row, Grad>* rows, std::size_t count, Executor executor, double* losses) {
  const std::size_t n = rows[0].row.size(), parts = part_count(n);
  detail::ScratchFrame frame;
  auto* const sums = frame.take<typename Row::Sums>(count * parts);
  auto* const terms = frame.take<TermSums>(count * parts);
  bool has_terms = false;
  for (std::size_t i = 0; i < count; ++i) {
    rows[i].is_ordinary = rows[i].row.is_ordinary();
    if (rows[i].is_ordinary) rows[i].row.keep_in(frame, rows[i].grad.data);
    has_terms = has_terms || rows[i].row.has_terms();
  }
  // Runs step(row, part) for all parts of rows that are still ordinary, and stores what it returns.
  const auto each_part = [&](auto* results, const auto& step) {
    executor(count * parts, [&](std::size_t k) {
      const ExceptionsHeld held;
      const SharedRow<Row, Grad>& row = rows[k / parts];
      if (row.is_ordinary) results[k] = step(row, part_of_row(n, k % parts));
    });
  };
  const auto joined = [&](const auto* results, std::size_t i) {
    auto row = results[i * parts];
    for (std::size_t k = 1; k < parts; ++k) row.join(results[i * parts + k]);
    return row;
  };
  const auto accept = [&](const auto* results) {
    const ExceptionsHeld held;
    for (std::size_t i = 0; i < count; ++i) {
      rows[i].is_ordinary = rows[i].is_ordinary && rows[i].row.accept(joined(results, i));
    }
  };
  each_part(sums, [](const auto& r, Range part) { return r.row.sum(part); });
  accept(sums);
  if (has_terms) {
    each_part(terms, [](const auto& r, Range part) { return r.row.terms(part); });
    accept(terms);
  }
  each_part(terms, [](const auto& r, Range part) { return r.row.write(part, r.scale, r.grad); });
  executor(count, [&](std::size_t i) {
    const ExceptionsHeld held;
    const SharedRow<Row, Grad>& r = rows[i];
    losses[i] = r.is_ordinary ? r.row.value(joined(terms, i)) : r.row.exact(r.scale, r.grad);
  });
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
