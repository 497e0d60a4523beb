// Reverse KL estimated from tokens that the student sampled.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/scores/cross_entropy_row.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Tokens that a student sampled, and what is known about them, one number per row. Made by sampled_tokens().
template <class Label, class T>
struct SampledTokensView {
  LabelsView<Label> tokens;
  MatrixView<T> teacher_log_probabilities;   ///< 1 x rows: log p(token)
  MatrixView<T> sampling_log_probabilities;  ///< 1 x rows: log q(token) when it was sampled; null: the current one
};

/// `loss(student, sampled_tokens(tokens, teacher_log_probabilities), grad)`; the vectors may be anything contiguous
/// with data() and size().
template <class Tokens, class LogProbabilities>
auto sampled_tokens(const Tokens& tokens, const LogProbabilities& teacher) {
  const auto labels = as_labels(tokens);
  const auto p = detail::read_only(detail::as_row(teacher));
  using T = std::remove_pointer_t<decltype(p.data)>;
  return SampledTokensView<std::remove_const_t<std::remove_pointer_t<decltype(labels.data)>>, T>{
      labels, p, MatrixView<T>{nullptr, p.rows, p.cols}};
}
template <class Tokens, class LogProbabilities>
auto sampled_tokens(const Tokens& tokens, const LogProbabilities& teacher, const LogProbabilities& sampling) {
  auto view = sampled_tokens(tokens, teacher);
  view.sampling_log_probabilities = detail::read_only(detail::as_row(sampling));
  return view;
}

/// On-policy distillation by policy gradient: the log-ratio r of one sampled token per row, whose mean is KL(q || p),
/// weights the decrease of that token's probability:
///
///     loss = weight / divisor * sum_i w_i L_i,    L = max(r ratio, r clip(ratio, 1 - ratio_clip, 1 + ratio_clip))
///     r = clip(ln q(token) - ln p(token), -log_ratio_clip, log_ratio_clip), a constant for the gradient
///     ratio = q(token) / q_sampling(token), 1 without sampling log-probabilities;    q = softmax(student)
///
/// Shapes      student, grad: rows x cols of logits, float, double, half or bfloat16; tokens: one integer per row, from
///             0 to cols - 1, or ignore_label; teacher_log_probabilities and sampling_log_probabilities: one number per
///             row
/// Ranges      log_ratio_clip and ratio_clip > 0, infinity for no clip; weight finite. The loss may be negative: its
///             mean over tokens sampled from q is the divergence
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory
/// Gradient    weight * w_i / divisor * r ratio ([j = token_i] - q_ij), 0 where the clipped ratio decides; without
///             clips its mean over tokens sampled from q is the gradient of the divergence
/// Infinities  a teacher's log-probability of -infinity gives r = log_ratio_clip, or without a clip +infinity with
///             gradient 0. NaN makes its row NaN
/// Throws      std::invalid_argument on a token or parameter out of range, a teacher's log-probability above 0 by more than
///             rounding (1/8), sizes that differ, and what CrossEntropy throws for; before anything is written
/// Cost        one read of student, one write of grad; scratch: one row of the computed type
/// Conventions the clip of the ratio is PPO's. The temperature is 1, as tokens are sampled from q
/// Paper       Gu, Dong, Wei, Huang: MiniLLM, 2024 (arXiv:2306.08543); clip: Schulman et al.: PPO, 2017
///             (arXiv:1707.06347)
struct SampledTokenReverseKl {
  double log_ratio_clip = std::numeric_limits<double>::infinity();
  double ratio_clip = std::numeric_limits<double>::infinity();
  double weight = 1;
  Reduction reduction = Reduction::mean;
  std::int64_t ignore_label = -100;

  template <class Student, class Label, class T>
  double operator()(const Student& student, const SampledTokensView<Label, T>& tokens,
                    const RowOptions& options = {}) const {
    return (*this)(student, tokens, detail::NoGradient{}, options);
  }

  template <class Student, class Label, class T, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_scores, const SampledTokensView<Label, T>& tokens, Grad&& gradient,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "SampledTokenReverseKl";
    const auto student = detail::read_only(as_matrix(student_scores));
    if (!(log_ratio_clip > 0)) detail::fail(who, "log_ratio_clip is ", log_ratio_clip, ", expected a positive number");
    if (!(ratio_clip > 0)) detail::fail(who, "ratio_clip is ", ratio_clip, ", expected a positive number");
    detail::require_finite(who, "weight", weight);
    detail::require_view(who, "student", student);
    const auto labels = detail::checked_labels(who, tokens.tokens, student.rows, student.cols, ignore_label);
    require_vector(who, "teacher_log_probabilities", tokens.teacher_log_probabilities, student.rows);
    if (tokens.sampling_log_probabilities.data) {
      require_vector(who, "sampling_log_probabilities", tokens.sampling_log_probabilities, student.rows);
    }
    const auto grad = detail::checked_gradient(who, student, gradient);
    detail::require_row_options(who, options, reduction, student, [&](std::size_t i) { return labels.is_ignored(i); });
    for (std::size_t i = 0; i < student.rows; ++i) {
      if (labels.is_ignored(i) || (options.weights && options.weights[i] == 0)) continue;
      const double log_p = detail::load_scalar<double>(tokens.teacher_log_probabilities.data + i);
      if (log_p > detail::log_probability_rounding) {
        detail::fail(who, "teacher_log_probabilities[", i, "] is ", log_p,
                     ", expected at most 0; are these probabilities?");
      }
    }
    return compute(student, labels, tokens, grad, options);
  }

 private:
  template <class T>
  static void require_vector(const char* who, const char* name, const MatrixView<T>& vector, std::size_t rows) {
    if (vector.cols != rows) detail::fail(who, name, " has ", vector.cols, " entries, student has ", rows, " rows");
    if (rows != 0) detail::require_view(who, name, vector);
  }

  template <class S, class Label, class T, class G>
  double compute(const MatrixView<S>& student, const detail::RowLabels<Label>& labels,
                 const SampledTokensView<Label, T>& tokens, const GradientTarget<MatrixView<G>>& grad,
                 const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S>, kernels::DefaultArch>;
    return kernels::reduce_rows(
        {student.rows, student.cols, 1}, grad, options, reduction, weight,
        [&](std::size_t i) { return labels.is_ignored(i); },
        [&](std::size_t i, double factor) {
          const std::size_t token = labels.at(i);
          const std::size_t n = student.cols;
          double loss = 0;
          kernels::cross_entropy_row<L, G>(
              student.row(i), n, token, kernels::gradient_row(grad, i), [&](double cross_entropy) {
                const double log_q = -cross_entropy;
                const double log_p = detail::load_scalar<double>(tokens.teacher_log_probabilities.data + i);
                const double r = clipped(log_q - log_p, -log_ratio_clip, log_ratio_clip);
                double ratio = 1;
                if (tokens.sampling_log_probabilities.data) {
                  ratio = std::exp(log_q - detail::load_scalar<double>(tokens.sampling_log_probabilities.data + i));
                }
                const double bounded = clipped(ratio, 1 - ratio_clip, 1 + ratio_clip);
                const bool is_clipped = r * bounded > r * ratio;
                loss = is_clipped ? r * bounded : ratio == 0 ? 0 : r * ratio;
                return is_clipped || std::isinf(r) ? 0 : -r * ratio * factor;
              });
          return loss;
        });
  }

  /// NaN stays NaN.
  static double clipped(double x, double low, double high) { return x < low ? low : x > high ? high : x; }
};

}  // namespace DISTILL_ABI
}  // namespace distill
