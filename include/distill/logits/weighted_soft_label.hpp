// KD in which a row counts less the better the student already knows it.
#pragma once

#include <cmath>
#include <cstdint>

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/core/views.hpp>
#include <distill/kernels/scores/cross_entropy_row.hpp>
#include <distill/kernels/scores/kl_row.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Weighted soft labels: each row's KL, weighted by how much worse the student knows the label than the teacher does:
///
///     loss = weight * S / divisor * sum_i w_i a_i KL(p_i || q_i),    a_i = 1 - exp(-CE(student_i) / CE(teacher_i))
///     CE(x) = -ln softmax(x)[label] at temperature 1
///     p = softmax(teacher / T), q = softmax(student / T), S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      as KlDivergence; the teacher may be log_probabilities(x), or several teachers with weights
///             (core/teachers.hpp). labels: one integer per row, from 0 to cols - 1, or ignore_label, which gives the
///             row weight 0
/// Ranges      0 < temperature <= 1e150, weight finite; the loss is >= 0 times weight; a_i is in [0, 1]
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * a_i S / T * (q_ij - p_ij); a_i is a constant
/// Infinities  as KlDivergence; a_i = 1 if the teacher is certain of the label or the student rules it out. A row with
///             a_i = 0 counts as 0 even where KL is infinite
/// Throws      std::invalid_argument for a label or parameter out of range and wherever KlDivergence throws; before
///             anything is written
/// Accuracy    that of Precision::high
/// Cost        two reads of student, three of teacher, one write of grad; scratch: three rows of the computed type
/// Conventions the published code leaves out the teacher's entropy: subtract_teacher_entropy = false has -sum p ln q in
///             place of KL, with the same gradient; the 1e-7 that it adds to CE(teacher) is teacher_epsilon. It also
///             adds CE with the labels: CrossEntropy, with add_to(grad)
/// Paper       Zhou, Song, Chen et al.: Rethinking Soft Labels for Knowledge Distillation, 2021 (arXiv:2102.00650)
struct WeightedSoftLabel {
  double temperature = 2;
  bool scale_by_temperature_squared = true;
  double teacher_epsilon = 0;
  bool subtract_teacher_entropy = true;
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
    constexpr const char* who = "WeightedSoftLabel";
    detail::require_temperature(who, temperature);
    detail::require_nonnegative_finite(who, "teacher_epsilon", teacher_epsilon);
    const auto call = detail::checked_call(who, *this, student, teacher, grad, options);
    return compute(call, detail::checked_labels_of(who, *this, labels, call, options), options);
  }

 private:
  template <class S, class T, class G, class RowLabels>
  double compute(const detail::TeacherCall<S, T, G>& call, const RowLabels& labels, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const double scale = kernels::soft_scale(*this);
    return kernels::reduce_teacher_rows<true, L>(
        *this, call, labels, options, call.student.cols, [&](const auto& row, double factor, const auto& grad) {
          return kernels::for_each_teacher(row, grad, [&](auto* teacher, double w, const auto& to) {
            const auto one = row.with(teacher);
            auto of_row = kernels::make_kl_row<Precision::high, true, L>(one, temperature, {1});
            const double teacher_ce = kernels::cross_entropy_row<L>(teacher, row.n, row.label);
            double share = 0;
            const double divergence = kernels::whole_row_by(of_row, to, [&](const auto& sums, bool accepted) {
              const double student_ce =
                  accepted ? sums.cross_entropy() : kernels::cross_entropy_row<L>(row.student, row.n, row.label);
              share = share_of(student_ce, teacher_ce + teacher_epsilon);
              return scale * share * w * factor;
            });
            const double constant = subtract_teacher_entropy ? 0 : detail::teacher_entropy<L>(one, temperature);
            return share == 0 ? 0 : kernels::times(scale * share, constant + divergence);
          });
        });
  }

  /// 1 - exp(-student / teacher); where both are 0 the student has nothing to learn, where both are infinite everything
  static double share_of(double student, double teacher) {
    if (student == 0) return 0;
    return std::isinf(student) ? 1 : -std::expm1(-student / teacher);
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
