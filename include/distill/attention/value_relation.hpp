// Compares the relations between a sequence's tokens, given by its queries, keys or values. Needs Eigen.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/token_mask.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/maps/sample_maps.hpp>
#include <distill/kernels/maps/token_runs.hpp>
#include <distill/kernels/products/relation_heads.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Self-attention relations: how similar each token's vector is to the other tokens', for the values of a layer (or its
/// queries, or its keys), in each of `relation_heads` parts of the width:
///
///     loss = weight / divisor * sum_i w_i sum_ht KL(R_teacher_iht || R_student_iht)
///     R_iht = softmax(V_ih v_iht / sqrt(d)),  V_ih = [tokens x d] of relation head h, d = width / relation_heads
///
/// Shapes      student, grad: FeatureMapView whose channels are the width and whose positions are the tokens:
///             nhwc(data, batch, tokens, 1, width), with a token's heads side by side; teacher: the same batch and
///             tokens, any width. mask: TokenMask{data, batch, tokens} of 1 and 0. float, double, half or bfloat16; the
///             teacher's type may differ, grad has the student's (its strides may differ). Computed in double if either
///             is double, else in float
/// Ranges      relation_heads must divide both widths, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    with G = R_student - R_teacher, tokens x tokens: weight * w_i / divisor * (G + G^T) V / sqrt(d)
/// Masks       a token that is padding is never read and does not count in rows, softmaxes or divisors; its gradient is
///             0
/// Divisor     Reduction::per_element, the default, is the mean over all heads and tokens that count in the batch,
///             times w_i; Reduction::mean over samples, each the sum of its rows
/// Exceptions  with one token or none, loss and gradient are 0. A sample with a number that is not finite has loss and
///             gradient NaN. A head whose products overflow is computed in long double, one number at a time
/// Throws      std::invalid_argument on a parameter out of range, batches or tokens that differ, a width that the heads
///             do not divide, null, a mask with entries other than 0 and 1, strides that make elements coincide, memory
///             that overlaps, sample weights of another length, negative or not finite; before anything is written
/// Cost        three products of tokens^2 * d per head (two with the student's d, one with the teacher's), by Eigen in
///             the thread that computes the sample (which may allocate for its blocking), and two exponentials for each
///             pair of tokens; scratch: two matrices of tokens x tokens, and one head's vectors
/// Conventions MiniLM uses values, with as many relation heads as attention heads; MiniLMv2 uses queries, keys and
///             values, with more relation heads (48 or 64): three calls, with add_to(grad)
/// Paper       Wang et al.: MiniLM, 2020 (arXiv:2002.10957); Wang et al.: MiniLMv2, 2020 (arXiv:2012.15828)
struct ValueRelation {
  std::size_t relation_heads = 12;
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
  double call(const Student& student_values, const Teacher& teacher_values, const detail::LiveTokens& mask,
              Grad&& gradient, const RowOptions& options) const {
    constexpr const char* who = "ValueRelation";
    const auto require_heads = [&](const char* name, std::size_t width) {
      if (relation_heads == 0 || width % relation_heads != 0) {
        detail::fail(who, "relation_heads is ", relation_heads, ", expected a divisor of ", name, "'s width, ", width);
      }
    };
    const auto require_fit = [&](const auto& student, const auto& teacher) {
      detail::require_same_batch(who, "teacher", teacher, "student", student);
      if (teacher.positions() != student.positions()) {
        detail::fail(who, "teacher has ", teacher.positions(), " tokens, student has ", student.positions());
      }
      require_heads("student", student.channels);
      require_heads("teacher", teacher.channels);
      detail::require_mask(who, mask, student.batch, student.positions(), options, reduction);
    };
    const auto call = detail::checked_pair(who, *this, as_feature_map(student_values), as_feature_map(teacher_values),
                                           gradient, options, require_fit);
    detail::require_clear_of_mask(who, call.grad.view, mask);
    return compute(call.student, call.teacher, mask, call.grad, options);
  }

  template <class S, class T, class G>
  double compute(const FeatureMapView<S>& student, const FeatureMapView<T>& teacher, const detail::LiveTokens& mask,
                 const GradientTarget<FeatureMapView<G>>& grad, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const std::size_t tokens = student.positions();
    const auto terms = [&](std::size_t i) {
      std::size_t live = 0;
      for (std::size_t t = 0; t < tokens; ++t) live += mask(i, t) ? 1u : 0u;
      return static_cast<double>(live * relation_heads);
    };
    return kernels::reduce_sequences(
        student, terms, grad, options, reduction, weight, [&](std::size_t i, double factor) {
          detail::ScratchFrame frame;
          const kernels::TokenRuns runs(frame.take<kernels::Range>(kernels::TokenRuns::capacity(tokens)), tokens, mask,
                                        i);
          const kernels::RelationHeads<L, G, std::remove_const_t<T>> heads(
              relation_heads, kernels::sample_maps<const S>(student, i), kernels::sample_maps<const T>(teacher, i),
              kernels::sample_maps<G>(grad.view, i), grad.accumulate, runs);
          return heads(factor);
        });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
