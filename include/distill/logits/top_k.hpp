// Divergences from a teacher of which only the k most probable classes are known, as inference engines return them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/teachers.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/rows/rows.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/scores/sparse_row.hpp>

namespace distill {
inline namespace DISTILL_ABI {

namespace detail {

/// Sizes, and every entry of every row that counts: indices in range and only once, log-probabilities that are some, if
/// the tail asks for them.
template <class Index, class T>
void require_sparse_teacher(const char* who, const SparseTeacherView<Index, T>& teacher, std::size_t rows,
                            std::size_t cols, const PerRow<const float>& weights, bool are_log_probabilities) {
  const MatrixView<Index>& indices = teacher.indices;
  static_assert(std::is_integral_v<Index> && !std::is_same_v<std::remove_const_t<Index>, bool>,
                "distill: the teacher's indices must be of an integer type. Convert them first");
  if (indices.rows != rows) fail(who, "indices has ", indices.rows, " rows, student has ", rows);
  if (indices.cols > cols) {
    fail(who, "indices has ", indices.cols, " columns, expected 1 to the student's ", cols);
  }
  require_memory(who, "indices", indices);
  require_view(who, "log_probabilities", teacher.log_probabilities);
  require_same_shape(who, "log_probabilities", teacher.log_probabilities, "indices", indices);
  ScratchFrame frame;
  std::size_t* const seen = frame.take<std::size_t>(indices.cols);
  for (std::size_t i = 0; i < rows; ++i) {
    if (weights && weights[i] == 0) continue;
    for (std::size_t j = 0; j < indices.cols; ++j) {
      const Index index = indices.row(i)[j];
      if (index < Index{0} || static_cast<std::size_t>(index) >= cols) {
        fail(who, "indices[", i, ", ", j, "] is ", +index, sign_hint(index), ", expected 0 to ", cols - 1);
      }
      seen[j] = static_cast<std::size_t>(index);
      const double log_p = load_scalar<double>(teacher.log_probabilities.row(i) + j);
      if (are_log_probabilities && log_p > log_probability_rounding) {
        fail(who, "log_probabilities[", i, ", ", j, "] is ", log_p, ", expected at most 0; are these probabilities?");
      }
    }
    // our own comparison, so that units with other instruction sets share no code
    std::sort(seen, seen + indices.cols, [](std::size_t a, std::size_t b) { return a < b; });
    const std::size_t* const twice =
        std::adjacent_find(seen, seen + indices.cols, [](std::size_t a, std::size_t b) { return a == b; });
    if (twice != seen + indices.cols) fail(who, "indices holds class ", *twice, " twice in row ", i);
  }
}

template <class Loss, class Term, class S, class Index, class T, class G>
double reduce_top_k(const Loss& loss, const Term& term, double linear, const MatrixView<const S>& student,
                    const SparseTeacherView<Index, T>& teacher, const GradientTarget<MatrixView<G>>& grad,
                    const RowOptions& options) {
  using L = kernels::Lanes<compute_t<S>, kernels::DefaultArch>;
  const double scale = kernels::soft_scale(loss);
  const std::size_t count = teacher.indices.cols;
  const kernels::SparseOptions sparse{loss.temperature, loss.teacher_temperature, loss.tail};
  return kernels::reduce_rows(
      {student.rows, student.cols, student.cols}, grad, options, loss.reduction, loss.weight,
      [](std::size_t) { return false; },
      [&](std::size_t i, double factor) {
        using Class = kernels::SparseClass;
        ScratchFrame frame;
        Class* const classes = frame.take<Class>(count);
        for (std::size_t j = 0; j < count; ++j) {
          classes[j] = {static_cast<std::size_t>(teacher.indices.row(i)[j]),
                        load_scalar<double>(teacher.log_probabilities.row(i) + j), 0, 0, 0};
        }
        std::sort(classes, classes + count, [](const Class& a, const Class& b) { return a.index < b.index; });
        const double divergence =
            kernels::sparse_row<L, Term, G>(term, linear, student.row(i), student.cols, classes, count, sparse,
                                            scale * factor, kernels::gradient_row(grad, i));
        return kernels::times(scale, divergence);
      });
}

template <class Loss, class Term, class Student, class Index, class T, class Grad>
double top_k(const char* who, const Loss& loss, const Term& term, double linear, const Student& student_scores,
             const SparseTeacherView<Index, T>& teacher, Grad&& gradient, const RowOptions& options) {
  const auto student = read_only(as_matrix(student_scores));
  require_temperature(who, loss.temperature);
  require_positive_finite(who, "teacher_temperature", loss.teacher_temperature);
  if (loss.tail < Tail::renormalise_teacher || loss.tail > Tail::truncate) {
    fail(who, "tail is ", static_cast<int>(loss.tail), ", expected a Tail");
  }
  require_finite(who, "weight", loss.weight);
  require_view(who, "student", student);
  const auto grad = checked_gradient(who, student, gradient, teacher.log_probabilities);
  require_row_options(who, options, loss.reduction, student);
  const bool renormalises = loss.tail == Tail::renormalise_teacher || loss.tail == Tail::renormalise_both;
  require_sparse_teacher(who, teacher, student.rows, student.cols, options.weights, !renormalises);
  return reduce_top_k(loss, term, linear, student, teacher, grad, options);
}

}  // namespace detail

/// KL(p || q) from the k classes that a teacher gives:
///
///     loss = weight * S / divisor * sum_i w_i KL(p_i || q_i),    q = softmax(student / T), p by `tail`
///
/// Shapes      student, grad: rows x cols of logits; teacher: sparse_teacher(indices, log_probabilities), both rows x
///             k, any k up to cols, any integer type. Scalars: float, double, half or bfloat16; computed in the
///             student's type, in double over the k classes
/// Ranges      0 < temperature <= 1e150, teacher_temperature > 0 and finite, weight finite; indices from 0 to
///             cols - 1, each once per row. teacher_temperature is the one at which the log-probabilities were computed;
///             they are softened from there to temperature. With the renormalise_* tails, logits are correct in their
///             place
/// Returns     the loss; grad (if passed) receives d loss / d student for all classes; add_to(grad) adds it. grad may
///             be exactly the student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * S / T * q_ij (h_ij - sum_k q_ik h_ik), with h the divergence's derivative for
///             the known classes; for the others that of p = 0 (renormalise_teacher), that of the bucket (tail_bucket),
///             or 0 (truncate); renormalise_both has no gradient there
/// Infinities  a student who is certain of one class (logits of 1e4 and beyond) gives a large loss, not an infinite
///             one; -infinity in the student for a class that the teacher holds gives +infinity, with a finite gradient,
///             if its probability is a normal double (2.2e-308 or more)
/// Throws      std::invalid_argument on an index out of range or held twice, a log-probability above 0 by more than
///             rounding (1/8) where the tail is not renormalised, shapes that differ, and what KlDivergence throws for;
///             before anything is written
/// Cost        one read of student, one write of grad, and k classes in double; scratch: one row of the computed type
///             and k classes. If the unknown classes have less than a quarter of the student's mass, one more pass over
///             its row
/// Conventions tail_bucket, the default, is the only tail that is a divergence on all that is known. With equal
///             temperatures it is 0 where the student agrees; otherwise the teacher's bucket is softened as one class,
///             while the student's is a sum of softened classes. distillkit's missing = 'zero' is renormalise_teacher,
///             its 'symmetric_uniform' tail_bucket; axolotl's KL is truncate with the teacher's probabilities as given
///             (teacher_temperature = temperature) and divides by entries; NeMo-RL's default is renormalise_both
/// Paper       Peng et al.: Pre-training Distillation for Large Language Models, 2024 (arXiv:2410.16215); Anshumann et
///             al.: Sparse Logit Sampling, 2025 (arXiv:2503.16870)
struct TopKKl {
  double temperature = 1;
  double teacher_temperature = 1;
  bool scale_by_temperature_squared = true;
  Tail tail = Tail::tail_bucket;
  double weight = 1;
  Reduction reduction = Reduction::mean;

  template <class Student, class Index, class T>
  double operator()(const Student& student, const SparseTeacherView<Index, T>& teacher,
                    const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Index, class T, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const SparseTeacherView<Index, T>& teacher, Grad&& grad,
                    const RowOptions& options = {}) const {
    return detail::top_k("TopKKl", *this, kernels::ForwardKlTerm{}, -1, student, teacher, grad, options);
  }
};

/// KL(q || p) from the k classes that a teacher gives.
///
///     loss = weight * S / divisor * sum_i w_i KL(q_i || p_i)
///
/// Else        as TopKKl; -infinity in the student leaves it finite
/// Conventions with renormalise_teacher the loss is +infinity, as the student has mass where the teacher has none;
///             NeMo-RL's log-probability of -100 there is ReverseKl with a dense teacher
struct TopKReverseKl {
  double temperature = 1;
  double teacher_temperature = 1;
  bool scale_by_temperature_squared = true;
  Tail tail = Tail::tail_bucket;
  double weight = 1;
  Reduction reduction = Reduction::mean;

  template <class Student, class Index, class T>
  double operator()(const Student& student, const SparseTeacherView<Index, T>& teacher,
                    const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Index, class T, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const SparseTeacherView<Index, T>& teacher, Grad&& grad,
                    const RowOptions& options = {}) const {
    return detail::top_k("TopKReverseKl", *this, kernels::ReverseKlTerm{}, 1, student, teacher, grad, options);
  }
};

/// The generalised Jensen-Shannon divergence from the k classes that a teacher gives.
///
///     loss = weight * S / divisor * sum_i w_i (beta KL(p_i || m_i) + (1 - beta) KL(q_i || m_i))
///     m = beta p + (1 - beta) q
///
/// Else        as TopKKl; -infinity in the student leaves it finite
/// Conventions beta is the teacher's share; beta = 0 and 1 are the two KLs, as in JensenShannon
struct TopKJensenShannon {
  double temperature = 1;
  double teacher_temperature = 1;
  bool scale_by_temperature_squared = true;
  Tail tail = Tail::tail_bucket;
  double beta = 0.5;
  double weight = 1;
  Reduction reduction = Reduction::mean;

  template <class Student, class Index, class T>
  double operator()(const Student& student, const SparseTeacherView<Index, T>& teacher,
                    const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Index, class T, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const SparseTeacherView<Index, T>& teacher, Grad&& grad,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "TopKJensenShannon";
    detail::require_unit_interval(who, "beta", beta);
    if (beta == 0) return detail::top_k(who, *this, kernels::ForwardKlTerm{}, -1, student, teacher, grad, options);
    if (beta == 1) return detail::top_k(who, *this, kernels::ReverseKlTerm{}, 1, student, teacher, grad, options);
    return detail::top_k(who, *this, kernels::JensenShannonTerm{beta}, 0, student, teacher, grad, options);
  }
};

/// Total variation distance from the k classes that a teacher gives.
///
///     loss = weight * S / divisor * sum_i w_i sum_j |p_ij - q_ij| / 2
///
/// Else        as TopKKl; -infinity in the student leaves it finite
/// Conventions the factor 1/2 is included
struct TopKTotalVariation {
  double temperature = 1;
  double teacher_temperature = 1;
  bool scale_by_temperature_squared = true;
  Tail tail = Tail::tail_bucket;
  double weight = 1;
  Reduction reduction = Reduction::mean;

  template <class Student, class Index, class T>
  double operator()(const Student& student, const SparseTeacherView<Index, T>& teacher,
                    const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Index, class T, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const SparseTeacherView<Index, T>& teacher, Grad&& grad,
                    const RowOptions& options = {}) const {
    return detail::top_k("TopKTotalVariation", *this, kernels::TotalVariationTerm{}, 0, student, teacher, grad,
                         options);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
