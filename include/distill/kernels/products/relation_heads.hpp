// Relations among the tokens of one sample, head by head: softmaxes of the products of a head's vectors, student
// against teacher. Needs Eigen.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/maps/token_runs.hpp>
#include <distill/kernels/products/products.hpp>
#include <distill/kernels/rows/exact_row.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/scores/kl_row.hpp>
#include <distill/kernels/scores/scores_row.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>
#include <distill/kernels/simd/lanes.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// Turns row i of the products of n vectors of d numbers into logarithms of its softmax.
inline void exact_log_relation(const long double* vectors, std::size_t n, std::size_t d, std::size_t i,
                               long double* out) {
  long double largest = -std::numeric_limits<long double>::infinity(), sum = 0;
  for (std::size_t j = 0; j < n; ++j) {
    out[j] = 0;
    for (std::size_t c = 0; c < d; ++c) out[j] += vectors[i * d + c] * vectors[j * d + c];
    if (!(out[j] <= largest)) largest = out[j];
  }
  for (std::size_t j = 0; j < n; ++j) sum += std::exp(out[j] - largest);
  for (std::size_t j = 0; j < n; ++j) out[j] -= largest + std::log(sum);
}

template <class L, class S, class T>
class RelationHeads {
  using C = typename L::Scalar;
  using Exact = Lanes<long double, ScalarArch>;

 public:
  /// Channels are the width, positions are tokens; `runs`: those that count.
  RelationHeads(std::size_t heads, const SampleMaps<const S>& student, const SampleMaps<const T>& teacher,
                const SampleMaps<S>& grad, bool accumulate, const TokenRuns& runs)
      : heads_(heads),
        student_(student),
        teacher_(teacher),
        grad_(grad),
        accumulate_(accumulate),
        runs_(runs),
        student_width_(student.channels / heads),
        teacher_width_(teacher.channels / heads) {
    runs_.for_each(student.positions(), [&](std::size_t begin, std::size_t end) { n_ += end - begin; });
  }

  /// The sum over heads and tokens; writes factor times its gradient. NaN if a number is not finite; the caller then
  /// fills the gradient.
  double operator()(double factor) const {
    double total = 0;
    for (std::size_t h = 0; h < heads_; ++h) {
      const double loss = head(h, factor);
      total += std::isfinite(loss) ? loss : exact_head(h, factor);
      if (std::isnan(total)) return total;
    }
    if (grad_.data && !accumulate_) clear_padding();
    return total;
  }

 private:
  /// Not finite, and nothing written, if a product overflowed.
  double head(std::size_t h, double factor) const {
    detail::ScratchFrame frame;
    const auto matrix = [&](std::size_t cols) { return eigen_map(frame.take<C>(n_ * cols), n_, cols); };
    auto s = matrix(student_width_), grad = matrix(student_width_), t = matrix(teacher_width_);
    auto student = matrix(n_), teacher = matrix(n_);
    gather<L>(student_, h, student_width_, s.data());
    gather<L>(teacher_, h, teacher_width_, t.data());
    student.noalias() = s * s.transpose();
    teacher.noalias() = t * t.transpose();
    double loss = 0;
    for (std::size_t i = 0; i < n_; ++i) {  // the gradient overwrites the student
      C* const row = student.data() + i * n_;
      const C* const t_row = teacher.data() + i * n_;
      loss += kl_row<Precision::high, false, L>(ScoresRow<C, C>{row, only_teacher<C>(t_row), n_, none}, 1, {1}, factor,
                                                GradientRow<C>{grad_.data ? row : nullptr});
    }
    if (!grad_.data || !std::isfinite(loss)) return loss;
    add_transpose(student.data(), n_);
    grad.noalias() = student * s;
    scatter<L>(grad.data(), h);
    return loss;
  }

  /// The same in long double, by the plain formulas.
  double exact_head(std::size_t h, double factor) const {
    using X = long double;
    const AllExceptionsHeld held;
    const std::size_t d = student_width_;
    detail::ScratchFrame frame;
    X *const s = frame.take<X>(n_ * d), *const grad = frame.take<X>(n_ * d);
    X *const t = frame.take<X>(n_ * teacher_width_), *const log_q = frame.take<X>(n_), *const log_p = frame.take<X>(n_);
    gather<Exact>(student_, h, d, s);
    gather<Exact>(teacher_, h, teacher_width_, t);
    std::fill_n(grad, n_ * d, X(0));
    X loss = 0;
    for (std::size_t i = 0; i < n_; ++i) {
      exact_log_relation(s, n_, d, i, log_q);
      exact_log_relation(t, n_, teacher_width_, i, log_p);
      for (std::size_t j = 0; j < n_; ++j) {
        const X p = std::exp(log_p[j]), slope = static_cast<X>(factor) * (std::exp(log_q[j]) - p);
        if (!(p == 0)) loss += p * (log_p[j] - log_q[j]);
        for (std::size_t c = 0; c < d; ++c) {
          grad[i * d + c] += slope * s[j * d + c];
          grad[j * d + c] += slope * s[i * d + c];
        }
      }
    }
    if (grad_.data && !std::isnan(loss)) scatter<Exact>(grad, h);
    return static_cast<double>(loss < 0 ? 0 : loss);
  }

  /// Vectors are divided by the fourth root of their width, so products are divided by its square root.
  static long double scale(std::size_t width) { return 1 / std::sqrt(std::sqrt(static_cast<long double>(width))); }

  template <class N, class Stored>
  void gather(const SampleMaps<const Stored>& x, std::size_t h, std::size_t width, typename N::Scalar* out) const {
    if (x.channel_stride == 1) {
      gather_by<N>(x, h, width, out);
    } else {
      gather_by<Lanes<typename N::Scalar, ScalarArch>>(x, h, width, out);
    }
  }
  template <class N, class Stored>
  void gather_by(const SampleMaps<const Stored>& x, std::size_t h, std::size_t width, typename N::Scalar* out) const {
    const N factor(static_cast<typename N::Scalar>(scale(width)));
    runs_.for_each(x.positions(), [&](std::size_t begin, std::size_t end) {
      for (std::size_t t = begin; t < end; ++t, out += width) {
        for (std::size_t c = 0; c < width; c += N::width) {
          store_up_to(factor * load_up_to<N>(x.at(h * width + c, t), width - c, 0), out + c, width - c);
        }
      }
    });
  }

  template <class N>
  void scatter(const typename N::Scalar* g, std::size_t h) const {
    if (grad_.channel_stride == 1) {
      scatter_by<N>(g, h);
    } else {
      scatter_by<Lanes<typename N::Scalar, ScalarArch>>(g, h);
    }
  }
  template <class N>
  void scatter_by(const typename N::Scalar* g, std::size_t h) const {
    const std::size_t width = student_width_;
    const N factor(static_cast<typename N::Scalar>(scale(width)));
    runs_.for_each(grad_.positions(), [&](std::size_t begin, std::size_t end) {
      for (std::size_t t = begin; t < end; ++t, g += width) {
        for (std::size_t c = 0; c < width; c += N::width) {
          put(factor * load_up_to<N>(g + c, width - c, 0), grad_.at(h * width + c, t), width - c, accumulate_);
        }
      }
    });
  }

  void clear_padding() const {
    runs_.for_each_gap(grad_.positions(), grad_.positions(), [&](std::size_t begin, std::size_t end) {
      for (std::size_t t = begin; t < end; ++t) {
        for (std::size_t c = 0; c < grad_.channels; ++c) *grad_.at(c, t) = S{};
      }
    });
  }

  std::size_t heads_;
  SampleMaps<const S> student_;
  SampleMaps<const T> teacher_;
  SampleMaps<S> grad_;
  bool accumulate_;
  TokenRuns runs_;
  std::size_t student_width_, teacher_width_;
  std::size_t n_ = 0;  // tokens that count
};

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
