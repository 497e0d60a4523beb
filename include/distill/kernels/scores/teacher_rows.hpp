// What all losses on class scores with a teacher share: checks, the transform of logits, and the loop over rows.
#pragma once

#include <cstddef>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/teachers.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/rows/long_rows.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/scores/divergence_row.hpp>
#include <distill/kernels/scores/scores_row.hpp>
#include <distill/kernels/scores/softmax_row.hpp>
#include <distill/kernels/scores/transform_row.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace detail {

/// The checked arguments of a call of a loss with a teacher.
template <class S, class T, class G>
struct TeacherCall {
  MatrixView<const S> student;
  Teachers<const T> teachers;
  GradientTarget<MatrixView<G>> grad;
};

}  // namespace detail

namespace kernels {

/// The labels of a loss that has none.
struct NoLabels {
  static constexpr std::size_t at(std::size_t) { return none; }
  static constexpr bool is_ignored(std::size_t) { return false; }
};

/// Calls row_loss(row, grad) with row i of the scores as they are stored.
template <class S, class T, class G, class RowLoss>
double with_stored_row(const detail::TeacherCall<S, T, G>& call, std::size_t i, std::size_t label,
                       const RowLoss& row_loss) {
  const detail::Teachers<const T>& teachers = call.teachers;
  const auto run = [&](const TeacherRows<T>& rows) {
    return row_loss(ScoresRow<S, T>{call.student.row(i), rows, call.student.cols, label}, gradient_row(call.grad, i));
  };
  if (!teachers.is_list()) {
    const T* const scores = teachers[0].scores.matrix.row(i);
    return run({&scores, &teachers[0].weight, 1});
  }
  const std::size_t count = teachers.size();
  detail::ScratchFrame frame;
  const T** const scores = frame.take<const T*>(count);
  double* const weights = frame.take<double>(count);
  for (std::size_t k = 0; k < count; ++k) {
    scores[k] = teachers[k].scores.matrix.row(i);
    weights[k] = teachers[k].weight;
  }
  return run({scores, weights, count});
}

/// Calls it with transformed copies of the row, in the computed type, and a separate gradient; that goes back through
/// the transform, and then through finish(z, g, other): what it adds to the loss, and to the gradient g with respect to
/// the student as stored. z and other are n numbers to work with.
template <class L, class S, class T, class G, class RowLoss, class Finish>
double with_transformed_row(const LogitTransform& transform, const detail::TeacherCall<S, T, G>& call, std::size_t i,
                            std::size_t label, const RowLoss& row_loss, const Finish& finish) {
  using C = typename L::Scalar;
  const std::size_t count = call.teachers.size(), n = call.student.cols;
  const GradientRow<G> grad = gradient_row(call.grad, i);
  detail::ScratchFrame frame;
  const C** const scores = frame.take<const C*>(count);
  double* const weights = frame.take<double>(count);
  C* const z = frame.take<C>(n);
  C* const g = frame.take<C>(n);
  C* const other = frame.take<C>(n);
  TransformRow<L> student_transform(transform, true);
  student_transform.forward(call.student.row(i), n, z);
  for (std::size_t k = 0; k < count; ++k) {
    const WeightedTeacher<const T>& teacher = call.teachers[k];
    C* const t = frame.take<C>(n);
    weights[k] = teacher.weight;
    scores[k] = t;
    if (weights[k] == 0) continue;
    TransformRow<L> teacher_transform(transform, teacher.scores.kind == ScoreKind::logits);
    teacher_transform.forward(teacher.scores.matrix.row(i), n, t);
  }
  const GradientRow<C> of_copy{grad ? g : nullptr};
  double loss = row_loss(ScoresRow<C, C>{z, {scores, weights, count}, n, label}, of_copy);
  if (grad) student_transform.backward(z, n, g);
  loss += finish(z, of_copy.data, other);
  if (grad) put_row<L>(g, n, grad);
  return loss;
}

/// For losses that take one teacher: calls row_loss(teacher's scores, weight, grad) for each.
template <class S, class T, class Grad, class RowLoss>
double for_each_teacher(const ScoresRow<S, T>& row, GradientRow<Grad> grad, const RowLoss& row_loss) {
  double loss = 0;
  for (std::size_t k = 0; k < row.teachers.count; ++k) {
    const double weight = row.teachers.weights[k];
    if (weight == 0) continue;
    loss += weight * row_loss(row.teachers.scores[k], weight, grad);
    grad.accumulate = true;
  }
  for (std::size_t j = 0; grad && !grad.accumulate && j < row.n; ++j) detail::store_scalar(grad.data + j, 0.0);
  return loss;
}

/// Calls row_loss(student, teacher, grad) with the row; where classes are masked by -infinity in both, with
/// a copy that has 0 there, so that they do not count.
template <class L, class S, class T, class RowLoss>
double unmasked_row(const S* student, const T* teacher, std::size_t n, const GradientRow<S>& grad,
                    const RowLoss& row_loss) {
  using C = typename L::Scalar;
  const auto is_masked = [](const auto* x) { return detail::load_scalar<C>(x) == -infinity<C>; };
  std::size_t first = 0;
  while (first < n && !(is_masked(student + first) && is_masked(teacher + first))) ++first;
  if (first == n) return row_loss(student, teacher, grad);
  detail::ScratchFrame frame;
  C *const s = frame.take<C>(n), *const t = frame.take<C>(n), *const g = frame.take<C>(n);
  for (std::size_t j = 0; j < n; ++j) {
    const bool both = is_masked(student + j) && is_masked(teacher + j);
    s[j] = both ? C(0) : detail::load_scalar<C>(student + j);
    t[j] = both ? C(0) : detail::load_scalar<C>(teacher + j);
  }
  const C *const read_s = s, *const read_t = t;
  const double loss = row_loss(read_s, read_t, GradientRow<C>{grad ? g : nullptr});
  if (grad) put_row<L>(g, n, grad);
  return loss;
}

/// Whether a call's rows are few and long, with one teacher, and untransformed.
template <class Loss, class Call>
bool has_few_long_rows(const Loss& loss, const Call& call, const RowOptions& options) {
  return are_few_long_rows(call.student.rows, call.student.cols, options) && loss.logits.is_identity() &&
         !call.teachers.is_list() && call.teachers[0].weight == 1;
}

/// The loss of such a call: make_row(scores) is the kernel of a row.
template <class Loss, class S, class T, class G, class Labels, class MakeRow>
double reduce_long_rows(const Loss& loss, const detail::TeacherCall<S, T, G>& call, const Labels& labels,
                        const RowOptions& options, const MakeRow& make_row) {
  const std::size_t n = call.student.cols;
  return reduce_long_rows(
      {call.student.rows, n, n}, call.grad, options, loss.reduction, loss.weight,
      [&](std::size_t i) { return labels.is_ignored(i); },
      [&](std::size_t i) {
        const T* const teacher = call.teachers[0].scores.matrix.row(i);
        return make_row(ScoresRow<S, T>{call.student.row(i), only_teacher(teacher), n, labels.at(i)});
      });
}

/// `row_loss(row, factor, grad)` returns the loss of a row and writes its gradient times `factor`. `terms`
/// as in RowSizes.
///
/// `one_by_one`: it takes the teachers of a list one after the other, so grad must not be the student's memory.
template <bool one_by_one, class L, class Loss, class S, class T, class G, class Labels, class RowLoss>
double reduce_teacher_rows(const Loss& loss, const detail::TeacherCall<S, T, G>& call, const Labels& labels,
                           const RowOptions& options, std::size_t terms, const RowLoss& row_loss) {
  return reduce_rows(
      {call.student.rows, call.student.cols, terms}, call.grad, options, loss.reduction, loss.weight,
      [&](std::size_t i) { return labels.is_ignored(i); },
      [&](std::size_t i, double factor) {
        const auto bound = [&](const auto& row, const auto& grad) { return row_loss(row, factor, grad); };
        if (loss.logits.is_identity() && !(one_by_one && call.teachers.is_list())) {
          return with_stored_row(call, i, labels.at(i), bound);
        }
        return with_transformed_row<L>(loss.logits, call, i, labels.at(i), bound,
                                       [](const auto*, const auto*, const auto*) { return 0.0; });
      });
}

}  // namespace kernels

namespace detail {

template <class Loss, class = void>
struct takes_labels : std::false_type {};
template <class Loss>
struct takes_labels<Loss, std::void_t<decltype(Loss::ignore_label)>> : std::true_type {};

/// What a loss with a teacher checks; if it takes labels, checked_labels_of() checks the rest.
template <class Loss, class Student, class Teacher, class Grad>
auto checked_call(const char* who, const Loss& loss, const Student& student_scores, const Teacher& teacher_scores,
                  Grad&& gradient, const RowOptions& options) {
  const auto student = read_only(as_matrix(student_scores));
  const auto teachers = as_teachers(teacher_scores);
  require_finite(who, "weight", loss.weight);
  require_transform(who, loss.logits);
  require_view(who, "student", student);
  require_teachers(who, teachers, student);
  const auto grad = checked_gradient(who, student, gradient);
  for (std::size_t k = 0; k < teachers.size() && grad.view.data; ++k) {
    require_no_overlap(who, "grad", grad.view, "teacher", teachers[k].scores.matrix, false);
  }
  if constexpr (takes_labels<Loss>::value) {
    require_own_row_options(who, options, loss.reduction, student);
  } else {
    require_row_options(who, options, loss.reduction, student);
  }
  using S = std::remove_const_t<std::remove_pointer_t<decltype(student.data)>>;
  using T = std::remove_const_t<std::remove_pointer_t<decltype(teachers[0].scores.matrix.data)>>;
  using G = std::remove_pointer_t<decltype(grad.view.data)>;
  return TeacherCall<S, T, G>{student, teachers, grad};
}

template <class Loss, class Labels, class Call>
auto checked_labels_of(const char* who, const Loss& loss, const Labels& class_labels, const Call& call,
                       const RowOptions& options) {
  const auto labels =
      checked_labels(who, as_labels(class_labels), call.student.rows, call.student.cols, loss.ignore_label);
  require_total_weight(who, options, call.student.rows, [&](std::size_t i) { return labels.is_ignored(i); });
  return labels;
}

/// For losses that change when a constant is added to a row.
template <class Teacher>
void require_logits(const char* who, const Teacher& scores) {
  const auto teachers = as_teachers(scores);
  for (std::size_t k = 0; k < teachers.size(); ++k) {
    if (teachers[k].scores.kind != ScoreKind::logits) fail(who, "teacher holds log-probabilities, expected logits");
  }
}

/// The entropies of a row's teachers, by their weights.
template <class L, class S, class T>
double teacher_entropy(const kernels::ScoresRow<S, T>& row, double temperature) {
  double entropy = 0;
  for (std::size_t k = 0; k < row.teachers.count; ++k) {
    const double weight = row.teachers.weights[k];
    if (weight != 0) entropy += weight * kernels::entropy_row<L>(row.teachers.scores[k], row.n, temperature);
  }
  return entropy;
}

/// A loss whose rows are a divergence (kernels/scores/divergence.hpp), and `entropy` times the teacher's entropy.
template <class Loss, class Term, class S, class T, class G>
double reduce_divergence(const Loss& loss, const Term& term, double entropy, const TeacherCall<S, T, G>& call,
                         const RowOptions& options) {
  using L = kernels::Lanes<compute_t<S, T>, kernels::DefaultArch>;
  const kernels::DivergenceFactors factors{kernels::soft_scale(loss)};
  if (entropy == 0 && kernels::has_few_long_rows(loss, call, options)) {
    return kernels::reduce_long_rows(loss, call, kernels::NoLabels{}, options, [&](const auto& row) {
      return kernels::make_divergence_row<false, L>(term, row, loss.temperature, factors);
    });
  }
  return kernels::reduce_teacher_rows<false, L>(
      loss, call, kernels::NoLabels{}, options, call.student.cols,
      [&](const auto& row, double factor, const auto& grad) {
        const double constant = entropy == 0 ? 0 : factors.rest * entropy * teacher_entropy<L>(row, loss.temperature);
        return constant + kernels::divergence_row<false, L>(term, row, loss.temperature, factors, factor, grad);
      });
}

template <class Loss, class Term, class Student, class Teacher, class Grad>
double divergence(const char* who, const Loss& loss, const Term& term, const Student& student, const Teacher& teacher,
                  Grad&& gradient, const RowOptions& options, double entropy = 0) {
  require_temperature(who, loss.temperature);
  return reduce_divergence(loss, term, entropy, checked_call(who, loss, student, teacher, gradient, options), options);
}

}  // namespace detail
}  // namespace DISTILL_ABI
}  // namespace distill
