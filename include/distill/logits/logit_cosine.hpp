// The angle between class scores.
#pragma once

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/feature_row.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Cosine distance between logits, without a softmax; a temperature would change nothing:
///
///     loss = weight / divisor * sum_i w_i (1 - cos(student_i, teacher_i))
///
/// Shapes      as KlDivergence; there may be several teachers with weights (core/teachers.hpp). Log-probabilities
///             throw: they are not logits
/// Ranges      weight finite; the loss is from 0 to 2 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * (a_ij cos_i - b_ij) / |student_i|, a and b the rows divided by their norms
/// Infinities  a class of -infinity in both contributes 0; a row with another infinity or NaN has loss and gradient
///             NaN. A row of zeros is orthogonal to all others: loss 1, gradient 0
/// Throws      std::invalid_argument for a parameter out of range and wherever KlDivergence throws; before anything is
///             written
/// Cost        four reads of student and teacher, from cache, one write of grad; scratch: only for masked classes and
///             transforms
/// Conventions no epsilon. per_element equals mean, as a row is one term
struct LogitCosine {
  double weight = 1;
  Reduction reduction = Reduction::mean;
  LogitTransform logits = {};

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    constexpr const char* who = "LogitCosine";
    detail::require_logits(who, teacher);
    return compute(detail::checked_call(who, *this, student, teacher, grad, options), options);
  }

 private:
  template <class S, class T, class G>
  double compute(const detail::TeacherCall<S, T, G>& call, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    return kernels::reduce_teacher_rows<true, L>(
        *this, call, kernels::NoLabels{}, options, 1, [&](const auto& row, double factor, const auto& grad) {
          return kernels::for_each_teacher(row, grad, [&](auto* teacher, double w, const auto& to) {
            return kernels::unmasked_row<L>(row.student, teacher, row.n, to, [&](auto* s, auto* t, const auto& g) {
              return kernels::cosine_row<L>(s, t, row.n, w * factor, g);
            });
          });
        });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
