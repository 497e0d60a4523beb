// Sequences with padding: runs of tokens that count, and the loop over samples in which not all terms count.
#pragma once

#include <algorithm>
#include <cstddef>

#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/token_mask.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Runs of consecutive tokens that count.
class TokenRuns {
 public:
  /// The largest number of runs in n tokens.
  static constexpr std::size_t capacity(std::size_t n) { return (n + 1) / 2; }

  /// All n tokens; `memory` is for capacity(n) runs.
  TokenRuns(Range* memory, std::size_t n) : runs_(memory), count_(1) { runs_[0] = {0, n}; }

  TokenRuns(Range* memory, std::size_t n, const detail::LiveTokens& tokens, std::size_t sample) : runs_(memory) {
    for (std::size_t t = 0; t < n; ++t) {
      if (!tokens(sample, t)) continue;
      if (count_ > 0 && runs_[count_ - 1].end == t) {
        runs_[count_ - 1].end = t + 1;
      } else {
        runs_[count_++] = {t, t + 1};
      }
    }
  }

  /// How many there are before token `end`.
  std::size_t count(std::size_t end) const {
    std::size_t k = 0;
    while (k < count_ && runs_[k].begin < end) ++k;
    return k;
  }
  /// Calls body(begin, end) for each run.
  template <class Body>
  void for_each(std::size_t end, const Body& body) const {
    for (std::size_t k = 0; k < count_ && runs_[k].begin < end; ++k) {
      body(runs_[k].begin, (std::min)(runs_[k].end, end));
    }
  }
  /// Calls body(begin, end) for each gap between runs, of n tokens.
  template <class Body>
  void for_each_gap(std::size_t end, std::size_t n, const Body& body) const {
    std::size_t begin = 0;
    for_each(end, [&](std::size_t run_begin, std::size_t run_end) {
      if (begin < run_begin) body(begin, run_begin);
      begin = run_end;
    });
    if (begin < n) body(begin, n);
  }

 private:
  Range* runs_;
  std::size_t count_ = 0;
};

/// As reduce_maps, for samples that differ in how many terms they have: Reduction::per_element divides by the weighted
/// sum of terms(i). Where the samples are a part of a larger batch, all have as many.
template <class T, class G, class Terms, class SampleLoss>
double reduce_sequences(const FeatureMapView<T>& student, const Terms& terms,
                        const GradientTarget<FeatureMapView<G>>& grad, const RowOptions& options, Reduction reduction,
                        double weight, const SampleLoss& sample_loss) {
  if (reduction == Reduction::per_element) {
    double divisor = 0;
    if (options.total_weight != 0) {
      divisor = options.total_weight * terms(0);
    } else {
      SampleWeights(options.weights, student.batch).for_each([&](std::size_t i, double w) { divisor += w * terms(i); });
    }
    if (divisor != 0) weight /= divisor;
    reduction = Reduction::sum;
  }
  return reduce_maps(student, 1, grad, options, reduction, weight, sample_loss);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
