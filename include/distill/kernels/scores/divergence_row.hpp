// One row of a divergence between the teachers' probabilities and the student's; divergence.hpp has the terms of a
// class.
//
//   sum    sums the exponentials of the student and of a teacher, and keeps them
//   terms  adds up values and slopes of the classes, and keeps the slopes
//   write  writes the gradient, (slope - q * sum of slopes) / temperature
//
// All take parts of the row. Forward KL alone needs no terms (kl_row.hpp). Several teachers share the student's part.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include <distill/core/gradient.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/exp_sweep.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/row_parts.hpp>
#include <distill/kernels/rows/row_sums.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/rows/weighted.hpp>
#include <distill/kernels/scores/class_pair.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/scores/exact_divergence.hpp>
#include <distill/kernels/scores/scores_row.hpp>
#include <distill/kernels/simd/exp2.hpp>
#include <distill/kernels/simd/two_parts.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// What a row of divergences contributes: rest times that of the classes, and target times that of "the label or not", if
/// there is a label.
struct DivergenceFactors {
  double rest = 1;
  double target = 0;
};

/// Compiled with a label, that class is left out of the probabilities, and compared with all others together.
template <bool has_label, class L, class Term, class Student, class Teacher>
class DivergenceRow {
  using T = typename L::Scalar;

 public:
  using Sums = std::conditional_t<has_label, LabelledPairSums, PairSums>;

  DivergenceRow(const Term& term, const ScoresRow<Student, Teacher>& row, double temperature,
                const DivergenceFactors& factors = {})
      : term_(term),
        x_(row.student),
        x_teacher_(row.teachers.scores[0]),
        n_(row.n),
        temperature_(temperature),
        label_(has_label ? row.label : none),
        factors_(factors) {}

  std::size_t size() const { return n_; }
  bool is_ordinary() const { return n_ > 1 && is_ordinary_temperature(temperature_); }

  void keep_in(detail::ScratchFrame& frame, const Student*) {
    KeptRow<L> kept[2];
    take_kept_rows(frame, kept, n_);
    student_kept_ = kept[0];
    teacher_kept_ = kept[1];
    slopes_ = teacher_kept_.values;  // which they overwrite, chunk by chunk
  }

  Sums sum(Range part) const {
    Sums sums;
    sums.student = sum_of(x_, student_kept_, part);
    sums.teacher = sum_of(x_teacher_, teacher_kept_, part);
    if constexpr (has_label) {
      if (label_ - part.begin < part.end - part.begin) {
        sums.student_logit = detail::load_scalar<double>(x_ + label_);
        sums.teacher_logit = detail::load_scalar<double>(x_teacher_ + label_);
      }
    }
    return sums;
  }

  bool accept(const Sums& sums) {
    sums_ = sums;
    if (!sums.is_ordinary()) return false;
    if constexpr (has_label) {
      using One = Lanes<double, ScalarArch>;
      const double a = log_odds(sums.teacher, sums.teacher_logit), b = log_odds(sums.student, sums.student_logit);
      const ClassTerm<One> target = binary_kl(One(a), One(b));
      target_ = {target.value.value, target.slope.value};
    }
    return std::isfinite(target_.value);
  }

  /// Writes the probabilities, once the sums are accepted.
  void probabilities(T* q, T* p) const {
    join_parts(n_, [&](Range part) {
      raise_both(part);
      for (std::size_t begin = part.begin; begin < part.end; begin += chunk_size<L>) {
        const std::size_t end = (std::min)(part.end, begin + chunk_size<L>), chunk = begin / chunk_size<L>;
        const Normaliser<L> q_unit = sums_.student.template normaliser<L>(1, student_kept_.offsets[chunk]);
        const Normaliser<L> p_unit = sums_.teacher.template normaliser<L>(1, teacher_kept_.offsets[chunk]);
        for (std::size_t i = begin; i < end; i += L::width) {
          store_up_to(q_unit(load<L>(student_kept_.values + i)), q + i, part.end - i);
          store_up_to(p_unit(load<L>(teacher_kept_.values + i)), p + i, part.end - i);
        }
      }
      return TermSums{};
    });
  }
  /// Before the terms are summed.
  void set_term(const Term& term) { term_ = term; }

  static constexpr bool has_terms() { return true; }

  TermSums terms(Range part) const { return add_terms<true>(part, 1); }

  bool accept(const TermSums& terms) {
    value_ = bounded(terms.value, term_);
    slope_sum_ = terms.slope;
    return std::isfinite(terms.value) && std::isfinite(terms.slope);
  }

  TermSums write(Range part, double scale, const GradientRow<Student>& gradient) const {
    const GradientRow<Student> grad = gradient;  // a copy, as stores might change it in the compiler's eyes
    if (!grad) return {};
    // what the label gains, the others lose, each by its share
    const double factor = scale / temperature_, at_label = factor * factors_.target * target_.slope;
    const double q_factor = factor * factors_.rest * slope_sum_ + at_label;
    const L slope_factor(static_cast<T>(factor * factors_.rest));
    const T* const slope = slopes_;
    const KeptRow<L> powers = student_kept_;
    const std::size_t n = part.end, label = label_;
    for (std::size_t begin = part.begin; begin < n; begin += chunk_size<L>) {
      const Normaliser<L> q = sums_.student.template normaliser<L>(q_factor, powers.offsets[begin / chunk_size<L>]);
      const std::size_t end = (std::min)(n, begin + chunk_size<L>);
      for (std::size_t i = begin; i < end; i += L::width) {
        L element = fms(slope_factor, load<L>(slope + i), q(load<L>(powers.values + i)));
        if constexpr (has_label) element = with_label(element, i, label, at_label);
        put(element, grad, i, n);
      }
    }
    return {};
  }

  double value(const TermSums&) const { return total(value_, target_.value); }

  double exact(double scale, const GradientRow<Student>& grad) const {
    return exact_list(only_teacher(x_teacher_), scale, grad);
  }

  /// The sum over several teachers, whose slopes are added up.
  double of_list(const TeacherRows<Teacher>& teachers, double scale, const GradientRow<Student>& grad) {
    if (!is_ordinary()) return exact_list(teachers, scale, grad);
    detail::ScratchFrame frame;
    keep_in(frame, grad.data);
    slopes_ = frame.take<T>((n_ + L::width - 1) / L::width * L::width);
    if (!sum_list(teachers)) return exact_list(teachers, scale, grad);
    return value(join_parts(n_, [&](Range part) { return write(part, scale, grad); }));
  }

 private:
  template <class Stored>
  ExpSum sum_of(const Stored* x, KeptRow<L> kept, Range part) const {
    return sum_exponentials<L>(x, part, temperature_, label_, &kept);
  }

  void raise_both(Range part) const {
    raise_kept(student_kept_, x_, part, temperature_, label_, sums_.student.offset);
    raise_kept(teacher_kept_, x_teacher_, part, temperature_, label_, sums_.teacher.offset);
  }

  /// log(exp(x / temperature) / sum of the others'), for the label's x
  double log_odds(const ExpSum& others, double x) const {
    return ln_2 * exact_exponent(x, log2_e / temperature_, others.offset) - scalar_log(others.sum);
  }

  bool sum_list(const TeacherRows<Teacher>& teachers) {
    Sums sums;
    sums.student = join_parts(n_, [&](Range part) { return sum_of(x_, student_kept_, part); });
    if constexpr (has_label) sums.student_logit = detail::load_scalar<double>(x_ + label_);
    bool is_first = true;
    double value = 0;
    TermSums target;
    for (std::size_t k = 0; k < teachers.count; ++k) {
      const double weight = teachers.weights[k];
      if (weight == 0) continue;
      x_teacher_ = teachers.scores[k];
      sums.teacher = join_parts(n_, [&](Range part) { return sum_of(x_teacher_, teacher_kept_, part); });
      if constexpr (has_label) sums.teacher_logit = detail::load_scalar<double>(x_teacher_ + label_);
      if (!accept(sums)) return false;
      const bool is_finite = accept(join_parts(
          n_, [&](Range part) { return is_first ? add_terms<true>(part, weight) : add_terms<false>(part, weight); }));
      if (!is_finite) return false;
      value += weight * value_;
      target.join({weight * target_.value, weight * target_.slope});
      is_first = false;
    }
    if (is_first) {
      sums_.student = sums.student;
      if (!sums.student.is_ordinary()) return false;
      std::fill(slopes_, slopes_ + n_, T(0));
    }
    value_ = value;
    target_ = target;
    return true;
  }

  double exact_list(const TeacherRows<Teacher>& teachers, double scale, const GradientRow<Student>& grad) const {
    const ExactDivergenceRow<has_label, L, Term, Student, Teacher> exact(term_, {x_, teachers, n_, label_},
                                                                         temperature_);
    if (grad) {
      const double factor = scale / temperature_, at_label = factor * factors_.target * exact.target_slope();
      exact.write({factor * factors_.rest, factor * factors_.rest * exact.slope_sum() + at_label, at_label}, grad);
    }
    return total(exact.value(), exact.target_value());
  }

  double total(double rest, double target) const {
    return (has_label ? times(factors_.target, target) : 0) + times(factors_.rest, rest);
  }

  /// The values, and the sum of all slopes so far, which are weighted.
  template <bool is_first>
  TermSums add_terms(Range part, double weight) const {
    raise_both(part);
    const LogRatio<L> log_ratio(sums_, temperature_);
    const L factor(static_cast<T>(weight));
    // copies, because stores to scratch memory might otherwise change them in the compiler's eyes
    const Term term = term_;
    const KeptRow<L> student_kept = student_kept_, teacher_kept = teacher_kept_;
    T* const slope = slopes_;
    const Student* const x = x_;
    const Teacher* const x_teacher = x_teacher_;
    const std::size_t n = part.end, label = label_;
    TermSums sums;
    for (std::size_t begin = part.begin; begin < n; begin += chunk_size<L>) {
      const std::size_t end = (std::min)(n, begin + chunk_size<L>), chunk = begin / chunk_size<L>;
      const Normaliser<L> q_unit = sums_.student.template normaliser<L>(1, student_kept.offsets[chunk]);
      const Normaliser<L> p_unit = sums_.teacher.template normaliser<L>(1, teacher_kept.offsets[chunk]);
      ChunkSum<L> chunk_value, chunk_slope;
      for (std::size_t i = begin; i < end; i += L::width) {
        L s = load_up_to<L>(x + i, n - i, -infinity<T>);
        L t = load_up_to<L>(x_teacher + i, n - i, -infinity<T>);
        if constexpr (has_label) {
          s = with_label(s, i, label, -infinity<double>);
          t = with_label(t, i, label, -infinity<double>);
        }
        const L s_power = load<L>(student_kept.values + i), t_power = load<L>(teacher_kept.values + i);
        ClassTerm<L> result = term(class_pair(s_power, q_unit, t_power, p_unit, log_ratio(s, t)));
        result.slope = is_first ? factor * result.slope : fma(factor, result.slope, load<L>(slope + i));
        chunk_value.add(result.value, i - begin);
        chunk_slope.add(result.slope, i - begin);
        store(result.slope, slope + i);
      }
      sums.join({chunk_value.total(), chunk_slope.total()});
    }
    return sums;
  }

  Term term_;
  const Student* x_;
  const Teacher* x_teacher_;
  std::size_t n_;
  double temperature_;
  std::size_t label_;
  DivergenceFactors factors_;
  KeptRow<L> student_kept_, teacher_kept_;
  T* slopes_ = nullptr;
  PairSums sums_;
  double value_ = 0, slope_sum_ = 0;
  TermSums target_;
};

/// Of a row's first teacher.
template <bool has_label, class L, class Term, class Student, class Teacher>
auto make_divergence_row(const Term& term, const ScoresRow<Student, Teacher>& row, double temperature,
                         const DivergenceFactors& factors) {
  return DivergenceRow<has_label, L, Term, Student, Teacher>(term, row, temperature, factors);
}

/// The divergence of a row, summed over the weighted teachers, and its gradient times `scale`.
template <bool has_label, class L, class Term, class Student, class Teacher>
double divergence_row(const Term& term, const ScoresRow<Student, Teacher>& row, double temperature,
                      const DivergenceFactors& factors, double scale, const GradientRow<Student>& grad) {
  auto of_row = make_divergence_row<has_label, L>(term, row, temperature, factors);
  if (row.teachers.count == 1 && row.teachers.weights[0] == 1) return whole_row(of_row, scale, grad);
  return of_row.of_list(row.teachers, scale, grad);
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
