// Distance between the attention matrices of student and teacher.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/token_mask.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/maps/attention_matrix.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/maps/token_runs.hpp>
#include <distill/kernels/rows/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// The distance of a student's attention row s, from one query to all keys, from the teacher's t.
enum class AttentionMatrixDistance {
  squared,        ///< sum_k (s_k - t_k)^2, of scores or probabilities as given
  kl,             ///< KL(softmax(t) || softmax(s)), of scores
  cross_entropy,  ///< -sum_k softmax(t)_k ln softmax(s)_k, of scores: kl plus the teacher's entropy
};

/// Which heads are compared.
enum class AttentionHeads {
  each,  ///< head h of the student with head h of the teacher
  mean,  ///< the mean of the student's heads with the mean of the teacher's, which may differ in number
};

/// Distance between the attention matrices of student and teacher transformers:
///
///     loss = weight / divisor * sum_i w_i sum_hq D(s_ihq, t_ihq)
///     D by `distance`, for the rows of heads h and queries q, over the keys that count
///
/// Shapes      student, grad: FeatureMapView{data, batch, heads, queries, keys}, whose channels are heads; teacher: the
///             same, with any number of heads if `heads` is mean. mask: TokenMask{data, batch, tokens} of 1 and 0, for
///             self-attention (queries and keys are the same tokens). float, double, half or bfloat16; the teacher's
///             type may differ, grad has the student's (its strides may differ). Computed in double if either is
///             double, else in float
/// Ranges      score_floor < infinity, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor times: squared 2 (s_k - t_k); kl and cross_entropy softmax(s)_k - softmax(t)_k;
///             with heads = mean, that of the mean divided by the number of heads. 0 where an entry does not count
/// Masks       a query or key that is padding, and with `causal` a key after its query (k > q), is never read and does
///             not count in sums, softmaxes or divisors
/// Divisor     Reduction::per_element, the default, is the mean over all entries that count in the batch (kl and
///             cross_entropy: rows), times w_i; Reduction::mean over samples, each the sum of its rows
/// Exceptions  a sample that is all padding has loss 0 and gradient 0. For kl and cross_entropy, -infinity in scores is
///             treated as in KlDivergence; for squared it is a number that is not finite. A sample with a number that
///             is not finite, or a row of nothing but -infinity, has loss and gradient NaN. Differences whose squares
///             overflow or underflow are computed in a wider type
/// Throws      std::invalid_argument on a parameter out of range, shapes that differ, 0 heads, queries or keys, null, a
///             mask with entries other than 0 and 1, strides that make elements coincide, memory that overlaps, sample
///             weights of another length, negative or not finite; before anything is written
/// Cost        one read of student and teacher, one write of grad (cross_entropy: three reads of the teacher); scratch:
///             five rows of keys (squared: three), and the runs of tokens that count
/// Conventions for models that add -10000 to the scores of padding instead of using a mask: with squared, scores at or
///             below score_floor become 0 on each side separately, with gradient 0, and count in the divisor; with kl
///             and cross_entropy, such scores of the teacher have no term, but stay in the softmax (TinyBERT: -100,
///             TextBrewer: -1e-3). padding_in_softmax: padded keys have no term, but are read and stay in the softmax
///             (TextBrewer). With either option kl may be negative, and rows are computed one number at a time
/// Paper       Jiao et al.: TinyBERT: Distilling BERT for Natural Language Understanding, 2019 (arXiv:1909.10351):
///             squared, of scores; kl of rows is in Wang et al.: MiniLM, 2020 (arXiv:2002.10957)
struct AttentionMatrix {
  AttentionMatrixDistance distance = AttentionMatrixDistance::squared;
  AttentionHeads heads = AttentionHeads::each;
  bool causal = false;
  double score_floor = -std::numeric_limits<double>::infinity();
  bool padding_in_softmax = false;
  double weight = 1;
  Reduction reduction = Reduction::per_element;

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return call(student, teacher, {}, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient_not_mask<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    return call(student, teacher, {}, grad, options);
  }

  template <class Student, class Teacher, class M>
  double operator()(const Student& student, const Teacher& teacher, const TokenMask<M>& mask,
                    const RowOptions& options = {}) const {
    return call(student, teacher, detail::LiveTokens(mask), detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class M, class Grad, class = detail::enable_if_gradient_not_mask<Grad>>
  double operator()(const Student& student, const Teacher& teacher, const TokenMask<M>& mask, Grad&& grad,
                    const RowOptions& options = {}) const {
    return call(student, teacher, detail::LiveTokens(mask), grad, options);
  }

 private:
  template <class Student, class Teacher, class Grad>
  double call(const Student& student_matrices, const Teacher& teacher_matrices, const detail::LiveTokens& mask,
              Grad&& gradient, const RowOptions& options) const {
    constexpr const char* who = "AttentionMatrix";
    if (distance < AttentionMatrixDistance::squared || distance > AttentionMatrixDistance::cross_entropy) {
      detail::fail(who, "distance is ", static_cast<int>(distance), ", expected an AttentionMatrixDistance");
    }
    if (heads != AttentionHeads::each && heads != AttentionHeads::mean) {
      detail::fail(who, "heads is ", static_cast<int>(heads), ", expected an AttentionHeads");
    }
    if (!(score_floor < std::numeric_limits<double>::infinity())) {
      detail::fail(who, "score_floor is ", score_floor, ", expected a number below infinity");
    }
    const auto require_fit = [&](const auto& student, const auto& teacher) {
      detail::require_same_batch(who, "teacher", teacher, "student", student);
      auto comparable = teacher;
      if (heads == AttentionHeads::mean) comparable.channels = student.channels;
      detail::require_same_shape(who, "teacher", comparable, "student", student);
      if (mask.is_given() && student.height != student.width) {
        detail::fail(who, "student has ", student.height, " queries and ", student.width,
                     " keys, expected the same tokens where there is a mask");
      }
      detail::require_mask(who, mask, student.batch, student.width, options, reduction);
    };
    const auto call = detail::checked_pair(who, *this, as_feature_map(student_matrices),
                                           as_feature_map(teacher_matrices), gradient, options, require_fit);
    detail::require_clear_of_mask(who, call.grad.view, mask);
    return compute(call.student, call.teacher, mask, call.grad, options);
  }

  template <class S, class T, class G>
  double compute(const FeatureMapView<S>& student, const FeatureMapView<T>& teacher, const detail::LiveTokens& mask,
                 const GradientTarget<FeatureMapView<G>>& grad, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const bool softmax = distance != AttentionMatrixDistance::squared;
    const kernels::AttentionRule rule{softmax,
                                      distance == AttentionMatrixDistance::cross_entropy,
                                      heads == AttentionHeads::mean,
                                      causal,
                                      padding_in_softmax && softmax,
                                      score_floor};
    const auto terms = [&](std::size_t i) {
      std::size_t live = 0, count = 0;
      for (std::size_t query = 0; query < student.height; ++query) {
        if (!mask(i, query)) continue;
        ++live;
        count += softmax ? 1 : mask.is_given() ? live : (std::min<std::size_t>)(query + 1, student.width);
      }
      if (!softmax && !causal) count = live * (mask.is_given() ? live : std::size_t{student.width});
      return static_cast<double>(rule.mean_of_heads ? count : count * student.channels);
    };
    return kernels::reduce_sequences(
        student, terms, grad, options, reduction, weight, [&](std::size_t i, double factor) {
          kernels::AttentionMatrices<L, G, std::remove_const_t<T>> matrices(
              rule, kernels::sample_maps<const S>(student, i), kernels::sample_maps<const T>(teacher, i),
              kernels::sample_maps<G>(grad.view, i), grad.accumulate, mask, i);
          return matrices(factor);
        });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
