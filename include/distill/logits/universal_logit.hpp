// The distance between sorted probabilities, for a teacher with a different vocabulary.
#pragma once

#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/teachers.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/scores/sorted_row.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Universal logit distillation: the Wasserstein distance between the two distributions when all classes are equally
/// far apart; it needs no common classes:
///
///     loss = weight / divisor * sum_i w_i sum_r |q_i(r) - p_i(r)|
///     p = softmax(teacher / teacher_temperature), q = softmax(student / temperature), (r): sorted, the largest first
///
/// Shapes      student, grad: rows x cols; teacher: rows x any number of columns, missing classes have probability 0;
///             logits or log_probabilities(x). float, double, half or bfloat16, independently, but grad has the
///             student's type
/// Ranges      both temperatures > 0 and finite, weight finite; the loss is from 0 to 2 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor / temperature * q_ij (s_ij - sum_k q_ik s_ik), s_ij the sign of q_ij minus the
///             teacher's probability of the same rank, 0 where they are equal. Equal probabilities of the student are
///             ranked by class
/// Infinities  -infinity is a class of probability 0; a row with NaN or +infinity, or with nothing but -infinity, has
///             loss and gradient NaN
/// Throws      std::invalid_argument for another number of rows, a parameter out of range, and wherever KlDivergence
///             throws; before anything is written
/// Cost        sorts both rows; scratch: five rows of the student's and one of the teacher's size
/// Conventions no factor 1/2, no T^2. Rows are pairs of tokens; the caller decides which of the teacher's tokens
///             belongs to which of the student's. TRL averages over a sequence's tokens and then over sequences: row
///             weights 1 / tokens
/// Paper       Boizard et al.: Towards Cross-Tokenizer Distillation, 2024 (arXiv:2402.12030)
struct UniversalLogit {
  double temperature = 1;
  double teacher_temperature = 1;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  LogitTransform logits = {};

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student_scores, const Teacher& teacher_scores, Grad&& gradient,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "UniversalLogit";
    const auto student = detail::read_only(as_matrix(student_scores));
    const auto teacher = detail::as_scores(teacher_scores);
    detail::require_positive_finite(who, "temperature", temperature);
    detail::require_positive_finite(who, "teacher_temperature", teacher_temperature);
    detail::require_finite(who, "weight", weight);
    detail::require_transform(who, logits);
    detail::require_view(who, "student", student);
    detail::require_view(who, "teacher", teacher.matrix);
    if (teacher.matrix.rows != student.rows) {
      detail::fail(who, "teacher has ", teacher.matrix.rows, " rows, student has ", student.rows);
    }
    const auto grad = detail::checked_gradient(who, student, gradient, teacher.matrix);
    detail::require_row_options(who, options, reduction, student);
    return compute(student, teacher, grad, options);
  }

 private:
  template <class S, class T, class G>
  double compute(const MatrixView<S>& student, const ScoresView<T>& teacher, const GradientTarget<MatrixView<G>>& grad,
                 const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    return kernels::reduce_rows(
        {student.rows, student.cols, student.cols}, grad, options, reduction, weight, [](std::size_t) { return false; },
        [&](std::size_t i, double factor) {
          return kernels::sorted_row<L, G>(student.row(i), student.cols, temperature, teacher.matrix.row(i),
                                           teacher.matrix.cols, teacher_temperature, logits,
                                           teacher.kind == ScoreKind::logits, factor, kernels::gradient_row(grad, i));
        });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
