// KL of a yes or no per class.
#pragma once

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/scores/binary_row.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// For multi-label data: each class is a separate yes or no, softened by a temperature:
///
///     loss = weight * S / divisor * sum_i w_i sum_j KL((p_ij, 1 - p_ij) || (q_ij, 1 - q_ij))
///     p = sigmoid(teacher / T), q = sigmoid(student / T), S = T^2 if scale_by_temperature_squared, else 1
///
/// Shapes      as KlDivergence; there may be several teachers with weights (core/teachers.hpp). Log-probabilities
///             throw: they are not logits
/// Ranges      0 < temperature <= 1e150, weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    weight * w_i / divisor * S / T * (q_ij - p_ij)
/// Infinities  equal infinities contribute 0; an infinity in the student that the teacher lacks makes the loss
///             +infinity, its gradient is finite; one in the teacher is a certain answer, and so is a
///             probability below the smallest normal number (see KlDivergence). NaN makes the row's loss NaN, and the
///             gradient of its class
/// Throws      std::invalid_argument for a parameter out of range and wherever KlDivergence throws; before anything is
///             written
/// Accuracy    that of Precision::high
/// Cost        one read of student and teacher, one write of grad; two exponentials and two logarithms per class
/// Conventions Reduction::mean divides by rows only, per_element by rows and classes
/// Paper       for multi-label distillation: Yang, Xie, Zong et al.: Multi-Label Knowledge Distillation, 2023
///             (arXiv:2308.06453)
struct BinaryKl {
  double temperature = 1;
  bool scale_by_temperature_squared = true;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  LogitTransform logits = {};

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    constexpr const char* who = "BinaryKl";
    detail::require_temperature(who, temperature);
    detail::require_logits(who, teacher);
    return compute(detail::checked_call(who, *this, student, teacher, grad, options), options);
  }

 private:
  template <class S, class T, class G>
  double compute(const detail::TeacherCall<S, T, G>& call, const RowOptions& options) const {
    using L = kernels::Lanes<detail::compute_t<S, T>, kernels::DefaultArch>;
    const double scale = kernels::soft_scale(*this);
    return kernels::reduce_teacher_rows<true, L>(
        *this, call, kernels::NoLabels{}, options, call.student.cols,
        [&](const auto& row, double factor, const auto& grad) {
          return kernels::for_each_teacher(row, grad, [&](auto* teacher, double w, const auto& to) {
            return scale * kernels::binary_row<L>(row.student, teacher, row.n, temperature, scale * w * factor, to);
          });
        });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
