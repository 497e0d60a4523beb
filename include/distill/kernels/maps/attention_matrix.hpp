// The attention matrices of one sample, query by query: the student's attention to visible keys compared with the
// teacher's.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/maps/token_runs.hpp>
#include <distill/kernels/rows/exact_row.hpp>
#include <distill/kernels/rows/feature_row.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/scores/kl_row.hpp>
#include <distill/kernels/scores/scores_row.hpp>
#include <distill/kernels/scores/softmax_row.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// How rows of attention are compared, and which of their entries.
struct AttentionRule {
  bool softmax;        // KL of softmaxes, else squared differences
  bool cross_entropy;  // KL with the teacher's entropy
  bool mean_of_heads;
  bool causal;
  bool padding_in_softmax;
  double floor;  // scores at or below it are padding

  bool has_floor() const { return floor > -std::numeric_limits<double>::infinity(); }
};

/// sum p (log p - log q) over some keys, or of -p log q: not all of p counts, and the sum may be negative. The plain
/// formulas, as this only reproduces published numbers.
template <class C, class Counts>
double partial_kl_row(const C* s, const C* t, std::size_t n, bool cross_entropy, double factor, C* grad,
                      const Counts& counts) {
  const ExactSoftmax<C> p(t, n, 1), q(s, n, 1);
  const auto probability = [&](std::size_t k) { return counts(k) ? std::exp(p.log_probability(k)) : 0; };
  long double value = 0, mass = 0;
  for (std::size_t k = 0; k < n; ++k) {
    const long double p_k = probability(k);
    if (p_k == 0) continue;
    value += p_k * (cross_entropy ? -q.log_probability(k) : exact_log_ratio(p, q, k));
    mass += p_k;
  }
  for (std::size_t k = 0; grad && k < n; ++k) {
    grad[k] =
        static_cast<C>(static_cast<long double>(factor) * (mass * std::exp(q.log_probability(k)) - probability(k)));
  }
  return static_cast<double>(value);
}

template <class L, class S, class T>
class AttentionMatrices {
  using C = typename L::Scalar;

 public:
  AttentionMatrices(const AttentionRule& rule, const SampleMaps<const S>& student, const SampleMaps<const T>& teacher,
                    const SampleMaps<S>& grad, bool accumulate, const detail::LiveTokens& tokens, std::size_t sample)
      : rule_(rule),
        student_(student),
        teacher_(teacher),
        grad_(grad),
        accumulate_(accumulate),
        tokens_(tokens),
        sample_(sample),
        is_plain_(!rule.mean_of_heads && !rule.has_floor() && !rule.padding_in_softmax &&
                  student.position_stride == 1 && teacher.position_stride == 1 && grad.position_stride == 1),
        runs_(rule.padding_in_softmax
                  ? TokenRuns(frame_.take<Range>(TokenRuns::capacity(student.width)), student.width)
                  : TokenRuns(frame_.take<Range>(TokenRuns::capacity(student.width)), student.width, tokens, sample)),
        s_(frame_.take<C>(student.width)),
        t_(frame_.take<C>(student.width)),
        g_(frame_.take<C>(student.width)) {}

  /// The sum over heads and queries; writes factor times its gradient.
  double operator()(double factor) {
    double total = 0;
    const std::size_t heads = rule_.mean_of_heads ? 1 : student_.channels;
    const bool is_whole = is_plain_ && !rule_.softmax && !rule_.causal && !tokens_.is_given();
    for (std::size_t head = 0; head < heads; ++head) {
      if (is_whole) {  // its queries are one long row
        total += distance(student_.at(head, 0), teacher_.at(head, 0), student_.positions(), factor, gradient(head, 0));
        continue;
      }
      for (std::size_t query = 0; query < student_.height; ++query) {
        const bool counts = tokens_(sample_, query);
        const std::size_t end = !counts ? 0 : rule_.causal ? (std::min)(student_.width, query + 1) : student_.width;
        if (counts) total += row(head, query, end, factor);
        if (grad_.data && !accumulate_) clear_gaps(head, query, end);
      }
    }
    return total;
  }

 private:
  /// Of the keys below `end`: where they lie, if they are neighbours, else side by side in scratch.
  double row(std::size_t head, std::size_t query, std::size_t end, double factor) {
    const std::size_t first = query * student_.width;
    double loss = 0;
    if (is_plain_ && runs_.count(end) == 1) {
      runs_.for_each(end, [&](std::size_t begin, std::size_t run_end) {
        const std::size_t at = first + begin;
        loss = distance(student_.at(head, at), teacher_.at(head, at), run_end - begin, factor, gradient(head, at));
      });
      return loss;
    }
    const std::size_t n = gather(student_, head, first, end, s_);
    gather(teacher_, head, first, end, t_);
    if (rule_.mean_of_heads) factor /= static_cast<double>(student_.channels);
    C* const g = grad_.data ? g_ : nullptr;
    const C *const s = s_, *const t = t_;
    const auto is_none = [&](C x) { return static_cast<double>(x) <= rule_.floor; };
    if (rule_.softmax && (rule_.has_floor() || rule_.padding_in_softmax)) {
      loss = partial_kl_row(s, t, n, rule_.cross_entropy, factor, g, [&](std::size_t k) {
        return !is_none(t[k]) && (!rule_.padding_in_softmax || tokens_(sample_, k));
      });
    } else {
      if (rule_.has_floor()) {
        for (std::size_t k = 0; k < n; ++k) {
          s_[k] = is_none(s_[k]) ? 0 : s_[k];
          t_[k] = is_none(t_[k]) ? 0 : t_[k];
        }
      }
      loss = distance(s, t, n, factor, GradientRow<C>{g});
    }
    if (!g) return loss;
    if (!rule_.softmax && rule_.has_floor()) {  // padding has no gradient
      gather(student_, head, first, end, s_);
      for (std::size_t k = 0; k < n; ++k) g_[k] = is_none(s[k]) ? 0 : g_[k];
    }
    scatter(head, first, end);
    return loss;
  }

  GradientRow<S> gradient(std::size_t head, std::size_t position) const {
    return {grad_.data ? grad_.at(head, position) : nullptr, accumulate_};
  }

  template <class A, class B, class Grad>
  double distance(const A* s, const B* t, std::size_t n, double factor, const GradientRow<Grad>& grad) const {
    if (!rule_.softmax) return difference_row<L>(SquaredDifference{}, s, t, n, factor, grad);
    const double entropy = rule_.cross_entropy ? entropy_row<L>(t, n, 1) : 0;
    return entropy +
           kl_row<Precision::standard, false, L>(ScoresRow<A, B>{s, only_teacher(t), n, none}, 1, {1}, factor, grad);
  }

  /// The heads that `head` stands for.
  template <class Maps>
  Range heads_of(const Maps& maps, std::size_t head) const {
    return rule_.mean_of_heads ? Range{0, maps.channels} : Range{head, head + 1};
  }

  /// Gathers the visible keys, or their mean over heads, and returns their number.
  template <class Stored>
  std::size_t gather(const SampleMaps<const Stored>& x, std::size_t head, std::size_t first, std::size_t end,
                     C* out) const {
    return x.position_stride == 1 ? gather_by<L>(x, head, first, end, out)
                                  : gather_by<Lanes<C, ScalarArch>>(x, head, first, end, out);
  }
  template <class N, class Stored>
  std::size_t gather_by(const SampleMaps<const Stored>& x, std::size_t head, std::size_t first, std::size_t end,
                        C* out) const {
    const Range heads = heads_of(x, head);
    const N share(C(1) / static_cast<C>(heads.end - heads.begin));
    std::size_t n = 0;
    runs_.for_each(end, [&](std::size_t begin, std::size_t run_end) {
      for (std::size_t k = begin; k < run_end; k += N::width) {
        const std::size_t rest = run_end - k;
        N sum = share * load_up_to<N>(x.at(heads.begin, first + k), rest, 0);
        for (std::size_t h = heads.begin + 1; h < heads.end; ++h) {
          sum = fma(share, load_up_to<N>(x.at(h, first + k), rest, 0), sum);
        }
        store_up_to(sum, out + n + (k - begin), rest);
      }
      n += run_end - begin;
    });
    return n;
  }

  /// Where the gradient of the gathered keys goes.
  void scatter(std::size_t head, std::size_t first, std::size_t end) const {
    grad_.position_stride == 1 ? scatter_by<L>(head, first, end) : scatter_by<Lanes<C, ScalarArch>>(head, first, end);
  }
  template <class N>
  void scatter_by(std::size_t head, std::size_t first, std::size_t end) const {
    const Range heads = heads_of(grad_, head);
    for (std::size_t h = heads.begin; h < heads.end; ++h) {
      std::size_t n = 0;
      runs_.for_each(end, [&](std::size_t begin, std::size_t run_end) {
        for (std::size_t k = begin; k < run_end; k += N::width) {
          put(load_up_to<N>(g_ + n + (k - begin), run_end - k, 0), grad_.at(h, first + k), run_end - k, accumulate_);
        }
        n += run_end - begin;
      });
    }
  }

  /// The gradient for keys that are not visible.
  void clear_gaps(std::size_t head, std::size_t query, std::size_t end) const {
    const Range heads = heads_of(grad_, head);
    runs_.for_each_gap(end, grad_.width, [&](std::size_t begin, std::size_t gap_end) {
      for (std::size_t h = heads.begin; h < heads.end; ++h) {
        S* const gap = grad_.at(h, query * grad_.width + begin);
        if (grad_.position_stride == 1) {
          std::fill_n(gap, gap_end - begin, S{});
        } else {
          for (std::size_t k = 0; k < gap_end - begin; ++k) gap[k * grad_.position_stride] = S{};
        }
      }
    });
  }

  AttentionRule rule_;
  SampleMaps<const S> student_;
  SampleMaps<const T> teacher_;
  SampleMaps<S> grad_;
  bool accumulate_;
  detail::LiveTokens tokens_;
  std::size_t sample_;
  bool is_plain_;
  detail::ScratchFrame frame_;
  TokenRuns runs_;
  C *s_, *t_, *g_;
};

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
