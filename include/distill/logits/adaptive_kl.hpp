// Forward and reverse KL, weighted in each row by where student and teacher differ.
#pragma once

#include <distill/core/checks.hpp>
#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/scores/divergence_row.hpp>
#include <distill/kernels/scores/head_share.hpp>
#include <distill/kernels/scores/softmax_row.hpp>
#include <distill/kernels/scores/teacher_rows.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// Forward KL first learns the classes that the teacher prefers (the head), reverse KL the others (the tail). This loss
/// weights the two by how much student and teacher still differ there:
///
///     loss = weight * S / divisor * sum_i w_i (a_i KL(p_i || q_i) + (1 - a_i) KL(q_i || p_i))
///     a = head / (head + tail);    tail: sum |p - q| over the least probable classes of p that have at most
///     tail_mass together; head: over the others
///
/// Shapes      as KlDivergence; the teacher may be log_probabilities(x), or several teachers with weights
///             (core/teachers.hpp)
/// Ranges      0 < temperature <= 1e150, tail_mass in [0, 1], weight finite; the loss is >= 0 times weight
/// Returns     the loss; grad (if passed) receives d loss / d student; add_to(grad) adds it. grad may be exactly the
///             student's memory. The teacher is a constant
/// Gradient    a_i times KlDivergence's + (1 - a_i) times ReverseKl's; a_i is a constant
/// Infinities  as KlDivergence and ReverseKl; a direction of weight 0 counts as 0 even where it is infinite
/// Throws      std::invalid_argument for a parameter out of range and wherever KlDivergence throws; before anything is
///             written
/// Accuracy    that of Precision::high
/// Cost        two reads of student and teacher, one write of grad, a selection among the classes; scratch: seven rows of
///             the computed type
/// Conventions tail_mass is the authors' 1 - mu = 0.5. Classes of equal p are ordered by index. a = 1/2 where p = q
/// Paper       Wu, Tao, Wang et al.: Rethinking Kullback-Leibler Divergence in Knowledge Distillation for LLMs, 2024
///             (arXiv:2404.02657)
struct AdaptiveKl {
  double temperature = 1;
  bool scale_by_temperature_squared = true;
  double tail_mass = 0.5;
  double weight = 1;
  Reduction reduction = Reduction::mean;
  LogitTransform logits = {};

  template <class Student, class Teacher>
  double operator()(const Student& student, const Teacher& teacher, const RowOptions& options = {}) const {
    return (*this)(student, teacher, detail::NoGradient{}, options);
  }

  template <class Student, class Teacher, class Grad, class = detail::enable_if_gradient<Grad>>
  double operator()(const Student& student, const Teacher& teacher, Grad&& grad, const RowOptions& options = {}) const {
    constexpr const char* who = "AdaptiveKl";
    detail::require_temperature(who, temperature);
    detail::require_unit_interval(who, "tail_mass", tail_mass);
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
            auto of_row = kernels::make_divergence_row<false, L>(kernels::SymmetricKlTerm{}, row.with(teacher),
                                                                       temperature, {scale});
            return kernels::whole_row_by(of_row, to, [&](auto& sums, bool accepted) {
              detail::ScratchFrame frame;
              auto* const q = frame.template take<typename L::Scalar>(row.n);
              auto* const p = frame.template take<typename L::Scalar>(row.n);
              if (accepted) {
                sums.probabilities(q, p);
              } else {
                kernels::softmax_row<L>(row.student, row.n, temperature, q);
                kernels::softmax_row<L>(teacher, row.n, temperature, p);
              }
              const double head = kernels::head_share(q, p, row.n, tail_mass);
              sums.set_term({head, 1 - head});
              return w * factor;
            });
          });
        });
  }
};

}  // namespace DISTILL_ABI
}  // namespace distill
