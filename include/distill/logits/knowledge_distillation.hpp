// Classic distillation: soft targets from the teacher and hard labels, mixed.
#pragma once

#include <cstdint>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/scores/cross_entropy_row.hpp>
#include <distill/kernels/scores/kl_row.hpp>
#include <distill/kernels/scores/short_rows.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// The teacher's soft targets and the hard labels, mixed, in one pass over the scores:
///
///     loss = weight / divisor * sum_i w_i (alpha T^2 KL(p_i || q_i) + (1 - alpha) CE_i)
///     p = softmax(teacher / T), q = softmax(student / T), CE_i = -ln softmax(student_i)[label_i] at temperature 1
///
/// Shapes      student, teacher, grad: rows x cols (one sample per row) of raw scores: float, double, half or bfloat16;
///             the teacher's type may differ, grad has the student's. Computed in double if either is double, else in
///             float. The teacher may be log_probabilities(x), or several teachers with weights (core/teachers.hpp).
///             labels: one integer per row, from 0 to cols - 1, or ignore_label, which gives the row weight 0 in both
///             terms
/// Ranges      0 < temperature <= 1e150, alpha in [0, 1], weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * (alpha T (q_ij - p_ij) + (1 - alpha) (softmax(student_i)_j - [j = label_i]))
/// Infinities  as KlDivergence and CrossEntropy; a term with factor 0 counts as 0 even where it is infinite, but NaN or
///             +infinity in student or teacher makes the row NaN at any alpha
/// Throws      std::invalid_argument on a label or parameter out of range, shapes that differ, 0 columns, null, a
///             stride below cols, memory that overlaps, row weights of another length, negative or not finite; before
///             anything is written
/// Cost        one read of student and teacher, one write of grad (Precision::high: two reads); scratch: three rows of
///             the computed type, or one of long double if the row is not for lanes; rows of up to 128 classes are computed one per lane, and need five numbers for each.
///             Above T = 32 Precision::high is always used
/// Conventions alpha weights the teacher's term; if published code weights the labels, pass 1 - alpha. Both terms have
///             the same divisor. logits.standardize applies to the teacher's term only, scale and soft cap to both. T^2
///             is always on; to leave it out, add KlDivergence and CrossEntropy
/// Paper       Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015 (arXiv:1503.02531)
struct KnowledgeDistillation {
  double temperature = 4;
  double alpha = 0.9;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  std::int64_t ignore_label = -100;
  Precision precision = Precision::standard;
  LogitTransform logits = {};

  template <class Student, class Teacher, class Labels>
  double operator()(const Student& student, const Teacher& teacher, const Labels& labels,
                    const RowOptions& options = {}) const {
    return (*this)(student, teacher, labels, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Labels, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, const Labels& labels, Grad&& grad,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "KnowledgeDistillation";
    detail::require_temperature(who, temperature);
    detail::require_unit_interval(who, "alpha", alpha);
    const auto call = detail::checked_call(who, *this, student, teacher, grad, options);
    return compute(call, detail::checked_labels_of(who, *this, labels, call, options), options);
  }

 private:
  template <class S, class T, class G, class RowLabels>
  double compute(const detail::TeacherCall<S, T, G>& call, const RowLabels& labels, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const std::size_t n = call.student.cols;
    const double soft = alpha * temperature * temperature;
    const kernels::RowFactors factors{soft * call.teachers[0].weight, 1 - alpha};  // of one teacher
    return kernels::with_precision<L>(kernels::needs_high_precision(precision, temperature), [&](auto chosen) {
      constexpr Precision exactness = decltype(chosen)::value;
      if (kernels::has_short_rows<L>(*this, call)) {
        return kernels::reduce_short_rows<exactness, true, L>(*this, call, labels, factors, options);
      }
      if (kernels::has_few_long_rows(*this, call, options)) {
        return kernels::reduce_long_rows(*this, call, labels, options, [&](const auto& row) {
          return kernels::make_kl_row<exactness, true, L>(row, temperature, factors);
        });
      }
      return kernels::reduce_rows(
          {call.student.rows, n, n}, call.grad, options, reduction, weight,
          [&](std::size_t i) { return labels.is_ignored(i); },
          [&](std::size_t i, double factor) {
            if (logits.is_identity() && !call.teachers.is_list()) {
              return kernels::with_stored_row(call, i, labels.at(i), [&](const auto& row, const auto& grad) {
                return kernels::kl_row<exactness, true, L>(row, temperature, factors, factor, grad);
              });
            }
            return kernels::with_transformed_row<L>(
                logits, call, i, labels.at(i),
                [&](const auto& row, const auto& grad) {
                  return kernels::for_each_teacher(row, grad, [&](auto* teacher, double w, const auto& to) {
                    return kernels::kl_row<exactness, false, L>(row.with(teacher), temperature, {soft}, w * factor, to);
                  });
                },
                [&](auto* z, auto* g, auto* other) {
                  return label_term<L>(call.student.row(i), n, labels.at(i), factor, z, g, other);
                });
          });
    });
  }

  /// (1 - alpha) times cross entropy; its gradient is added to g. z and other hold n numbers each.
  template <class L, class S, class C>
  double label_term(const S* student, std::size_t n, std::size_t label, double factor, C* z, C* g, C* other) const {
    if (alpha == 1) return 0;
    kernels::TransformRow<L> transform({logits.scale, logits.soft_cap}, true);
    transform.forward(student, n, z);
    const double loss = kernels::whole_row(kernels::CrossEntropyRow<L, C>(z, n, label), (1 - alpha) * factor,
                                           kernels::GradientRow<C>{g ? other : nullptr});
    if (g) {
      transform.backward(z, n, other);
      kernels::put_row<L>(other, n, kernels::GradientRow<C>{g, true});
    }
    return (1 - alpha) * loss;
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
