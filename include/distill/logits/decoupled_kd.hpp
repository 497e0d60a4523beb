// KD in two parts: the label against all other classes, and the other classes among themselves.
#pragma once

#include <cstdint>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/scores/divergence_row.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Decoupled knowledge distillation: KL(p || q) = TCKD + (1 - p_label) NCKD, with separate weights for the two:
///
///     loss = weight * S / divisor * sum_i w_i (alpha TCKD_i + beta NCKD_i)
///     TCKD = KL((p_y, 1 - p_y) || (q_y, 1 - q_y)),    y = label
///     NCKD = KL(p' || q'),    p', q': softmax of the other classes only
///     p = softmax(teacher / T), q = softmax(student / T), S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      as KlDivergence; the teacher may be log_probabilities(x), or several teachers with weights
///             (core/teachers.hpp). labels: one integer per row, from 0 to cols - 1, or ignore_label, which gives the
///             row weight 0
/// Ranges      0 < temperature <= 1e150, alpha and beta >= 0 and finite, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * S / T * alpha (q_y - p_y) for the label, and for the others beta (q'_j - p'_j)
///             - alpha (q_y - p_y) q'_j
/// Infinities  as KlDivergence; a teacher with no mass outside the label has NCKD 0, if only the student has none, NCKD
///             is +infinity. A term of weight 0 counts as 0 even where it is infinite
/// Throws      std::invalid_argument for a label or parameter out of range and wherever KlDivergence throws; before
///             anything is written
/// Accuracy    that of Precision::high, for logits of any size: the label is left out of the sums, not masked by a
///             large number
/// Cost        two reads of student and teacher, one write of grad; scratch: three rows of the computed type
/// Conventions alpha = beta = 1 is not KL. The authors' beta is mostly 8 at T = 4 on CIFAR-100, and 0.5 or 2 at T = 1
///             on ImageNet. Their -1000 on the label's logit gives infinities where logits / T reach a few hundred
/// Paper       Zhao, Cui, Song, Qiu, Liang: Decoupled Knowledge Distillation, 2022 (arXiv:2203.08679)
struct DecoupledKd {
  double temperature = 4;
  bool scale_by_temperature_squared = true;
  double alpha = 1;
  double beta = 8;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  std::int64_t ignore_label = -100;
  LogitTransform logits = {};

  template <class Student, class Teacher, class Labels>
  double operator()(const Student& student, const Teacher& teacher, const Labels& labels,
                    const RowOptions& options = {}) const {
    return (*this)(student, teacher, labels, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Labels, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, const Labels& labels, Grad&& grad,
                    const RowOptions& options = {}) const {
    constexpr const char* who = "DecoupledKd";
    detail::require_temperature(who, temperature);
    detail::require_nonnegative_finite(who, "alpha", alpha);
    detail::require_nonnegative_finite(who, "beta", beta);
    const auto call = detail::checked_call(who, *this, student, teacher, grad, options);
    return compute(call, detail::checked_labels_of(who, *this, labels, call, options), options);
  }

 private:
  template <class S, class T, class G, class RowLabels>
  double compute(const detail::TeacherCall<S, T, G>& call, const RowLabels& labels, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const double scale = kernels::soft_scale(*this);
    const kernels::DivergenceFactors factors{beta * scale, alpha * scale};
    if (kernels::has_few_long_rows(*this, call, options)) {
      return kernels::reduce_long_rows(*this, call, labels, options, [&](const auto& row) {
        return kernels::make_divergence_row<true, L>(kernels::ForwardKlTerm{}, row, temperature, factors);
      });
    }
    return kernels::reduce_teacher_rows<false, L>(
        *this, call, labels, options, call.student.cols, [&](const auto& row, double factor, const auto& grad) {
          return kernels::divergence_row<true, L>(kernels::ForwardKlTerm{}, row, temperature, factors, factor, grad);
        });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
