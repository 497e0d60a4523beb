// One row of a divergence between the teachers' probabilities and the student's; divergence.hpp has the terms of a
// class.
//
//   sweep 1  sums the exponentials of the student and of a teacher, and keeps them
//   sweep 2  adds up values and slopes of the classes, and keeps the slopes
//   sweep 3  writes the gradient, (slope - q * sum of slopes) / temperature
//
// Forward KL alone needs no sweep 2 (distillation_row.hpp). Several teachers share the student's part.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/exact_row.hpp>
#include <distill/kernels/rows/exp_stream.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/rows/weighted.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/scores/hard_label.hpp>
#include <distill/kernels/scores/scores_row.hpp>
#include <distill/kernels/simd/exp2.hpp>
#include <distill/kernels/simd/series.hpp>
#include <distill/kernels/simd/two_parts.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// The gradient is slope_factor * slope - q_factor * q for every class except the label, which gets `at_label`.
struct GradientFactors {
  double slope;
  double q;
  double at_label = 0;
};

/// Compiled with a label, that class is left out of the probabilities, and compared with all others together (`target`:
/// the KL divergence of "the label or not").
template <bool has_label, class L, class Term, class Student, class Teacher>
class DivergenceRow {
  using T = typename L::Scalar;

 public:
  DivergenceRow(const Term& term, const Student* student, TeacherRows<Teacher> teachers, std::size_t n,
                double temperature, std::size_t label)
      : term_(term),
        x_(student),
        teachers_(teachers),
        n_(n),
        temperature_(temperature),
        label_(has_label ? label : none),
        student_(temperature) {}

  /// False if the fast sweeps cannot take the row.
  bool compute() {
    if (!is_ordinary_temperature(temperature_)) return false;
    take_kept_rows(frame_, kept_, n_);
    if (!sum_exponentials(student_, x_, n_, label_, &kept_[0])) return false;
    bool is_first = true;
    for (std::size_t k = 0; k < teachers_.count; ++k) {
      if (teachers_.weights[k] == 0) continue;
      ExpStream<L> teacher(temperature_);
      if (!sum_exponentials(teacher, teachers_.scores[k], n_, label_, &kept_[1])) return false;
      if (!add_teacher(teacher, teachers_.scores[k], teachers_.weights[k], is_first)) return false;
      is_first = false;
    }
    if (is_first) std::fill(slopes(), slopes() + n_, T(0));
    return std::isfinite(value_) && std::isfinite(slope_sum_);
  }

  double value() const { return value_; }
  double slope_sum() const { return slope_sum_; }
  double target_value() const { return target_value_; }
  double target_slope() const { return target_slope_; }

  void write(const GradientFactors& factors, Student* grad, bool accumulate) const {
    const L slope_factor(static_cast<T>(factors.slope));
    const T* const slope = slopes();
    const KeptRow<L> powers = kept_[0];
    const std::size_t n = n_;
    for (std::size_t begin = 0, chunk = 0; begin < n; begin += chunk_size<L>, ++chunk) {
      const Normaliser<L> q = student_.normaliser(factors.q, powers.offsets[chunk]);
      const std::size_t end = (std::min)(n, begin + chunk_size<L>);
      for (std::size_t i = begin; i < end; i += L::width) {
        L element = fms(slope_factor, load<L>(slope + i), q(load<L>(powers.values + i)));
        if constexpr (has_label) element = with_label(element, i, label_, factors.at_label);
        put(element, grad + i, n - i, accumulate);
      }
    }
  }

 private:
  /// Slopes overwrite a single teacher's exponentials, chunk by chunk.
  T* slopes() const { return teachers_.count == 1 ? kept_[1].values : kept_[2].values; }

  /// log(exp(x / temperature) / sum of the others'), for the label's x
  double log_odds(const ExpStream<L>& others, double x) const {
    return ln_2 * exact_exponent(x, log2_e / temperature_, others.offset) - scalar_log(others.sum);
  }

  bool add_teacher(const ExpStream<L>& teacher, const Teacher* x_teacher, double weight, bool is_first) {
    if constexpr (has_label) {
      using One = Lanes<double, ScalarArch>;
      const double a = log_odds(teacher, detail::load_scalar<double>(x_teacher + label_));
      const double b = log_odds(student_, detail::load_scalar<double>(x_ + label_));
      const ClassTerm<One> target = binary_kl(One(a), One(b));
      if (!std::isfinite(target.value.value)) return false;
      target_value_ += weight * target.value.value;
      target_slope_ += weight * target.slope.value;
    }
    // log p - log q is (t - s - shift) / temperature, in more than the precision of T
    const TwoParts<L> shift(temperature_ *
                            (scalar_log(teacher.sum / student_.sum) + ln_2 * (teacher.offset - student_.offset)));
    const L inverse_temperature(static_cast<T>(1 / temperature_));
    const L zero(T(0)), infinite(infinity<T>), factor(static_cast<T>(weight));
    // copies, because stores to scratch memory might otherwise change them in the compiler's eyes
    const Term term = term_;
    const KeptRow<L> student_kept = kept_[0], teacher_kept = kept_[1];
    T* const slope = slopes();
    const Student* const x = x_;
    const std::size_t n = n_, label = label_;
    double value = 0, slope_sum = 0;
    for (std::size_t begin = 0, chunk = 0; begin < n; begin += chunk_size<L>, ++chunk) {
      const Normaliser<L> student_unit = student_.normaliser(1, student_kept.offsets[chunk]);
      const Normaliser<L> teacher_unit = teacher.normaliser(1, teacher_kept.offsets[chunk]);
      const std::size_t end = (std::min)(n, begin + chunk_size<L>);
      ChunkSum<L> chunk_value, chunk_slope;
      for (std::size_t i = begin; i < end; i += L::width) {
        L s = load_up_to<L>(x + i, n - i, -infinity<T>);
        L t = load_up_to<L>(x_teacher + i, n - i, -infinity<T>);
        if constexpr (has_label) {
          s = with_label(s, i, label, -std::numeric_limits<double>::infinity());
          t = with_label(t, i, label, -std::numeric_limits<double>::infinity());
        }
        const L s_power = load<L>(student_kept.values + i);
        const L t_power = load<L>(teacher_kept.values + i);
        ClassPair<L> c;
        c.p = teacher_unit(t_power);
        c.q = student_unit(s_power);
        // t - s with its rounding error, so that nearly equal logits keep their digits
        const L u = t - s;
        const L v = u - t;
        const L u_error = (t - (u - v)) - (s + v);
        const L d = ((u - shift.high) + (u_error - shift.low)) * inverse_temperature;
        c.log_ratio = select(zero < c.p + c.q, select(absolute(u) < infinite, d, u), zero);
        const L difference = scaled_difference(s_power, student_unit, t_power, teacher_unit);
        c.q_minus_p = select(is_near(c), c.p * (exp_excess(zero - c.log_ratio) - c.log_ratio), difference);
        ClassTerm<L> result = term(c);
        if (!is_first) {
          result.slope = fma(factor, result.slope, load<L>(slope + i));
        } else {
          result.slope = factor * result.slope;
        }
        chunk_value.add(result.value, i - begin);
        chunk_slope.add(result.slope, i - begin);
        store(result.slope, slope + i);
      }
      value += chunk_value.total();
      slope_sum += chunk_slope.total();
    }
    value_ += weight * bounded(value, term_);
    slope_sum_ = slope_sum;  // of all teachers so far
    return std::isfinite(value) && std::isfinite(slope_sum);
  }

  Term term_;
  const Student* x_;
  TeacherRows<Teacher> teachers_;
  std::size_t n_;
  double temperature_;
  std::size_t label_;
  ExpStream<L> student_;
  detail::ScratchFrame frame_;
  KeptRow<L> kept_[3];
  double value_ = 0;
  double slope_sum_ = 0;
  double target_value_ = 0, target_slope_ = 0;
};

/// The same by the plain formulas, for rows that the fast sweeps cannot take (see exact_row.hpp).
template <bool has_label, class L, class Term, class Student, class Teacher>
class ExactDivergenceRow {
  using X = Lanes<long double, ScalarArch>;

 public:
  ExactDivergenceRow(const Term& term, const Student* student, TeacherRows<Teacher> teachers, std::size_t n,
                     double temperature, std::size_t label)
      : term_(term),
        teachers_(teachers),
        n_(n),
        temperature_(temperature),
        label_(has_label ? label : none),
        q_(student, n, temperature, label_),
        x_(student),
        slopes_(frame_.take<long double>(n)) {
    for (std::size_t i = 0; i < n; ++i) slopes_[i] = 0;
    for (std::size_t k = 0; k < teachers.count; ++k) {
      if (teachers.weights[k] != 0) add_teacher(teachers.scores[k], teachers.weights[k]);
    }
    for (std::size_t i = 0; i < n; ++i) slope_sum_ += slopes_[i];
  }

  double value() const { return static_cast<double>(value_); }
  double slope_sum() const { return static_cast<double>(slope_sum_); }
  double target_value() const { return target_value_; }
  double target_slope() const { return target_slope_; }

  /// Element i is read before it is written, so that grad may be the student's memory.
  void write(const GradientFactors& factors, Student* grad, bool accumulate) const {
    using T = typename L::Scalar;
    const auto at_label = static_cast<long double>(factors.at_label);
    const auto slope = static_cast<long double>(factors.slope), q_factor = static_cast<long double>(factors.q);
    for (std::size_t i = 0; i < n_; ++i) {
      const long double q = has_label && q_.is_empty() ? 0 : std::exp(q_.log_probability(i));
      const long double element = i == label_ ? at_label : slope * slopes_[i] - q_factor * q;
      put(Lanes<T, ScalarArch>(static_cast<T>(element)), grad + i, 1, accumulate);
    }
  }

 private:
  template <class Stored>
  long double log_odds(const ExactSoftmax<Stored>& others, const Stored* x) const {
    const auto own = detail::load_scalar<long double>(x + label_);
    if (!others.is_empty()) return others.log_odds(own);
    return own > -infinity<long double> ? infinity<long double> : own - own;
  }

  void add_teacher(const Teacher* x_teacher, double weight) {
    const ExactSoftmax<Teacher> p(x_teacher, n_, temperature_, label_);
    if constexpr (has_label) {
      const ClassTerm<X> target = binary_kl(X(log_odds(p, x_teacher)), X(log_odds(q_, x_)));
      target_value_ += weight * static_cast<double>(target.value.value);
      target_slope_ += weight * static_cast<double>(target.slope.value);
      // a teacher that is certain of the label says nothing about the others
      if (p.is_empty()) return;
      if (q_.is_empty()) {
        value_ += infinity<long double>;
        return;
      }
    }
    const auto share = static_cast<long double>(weight);
    long double value = 0;
    for (std::size_t i = 0; i < n_; ++i) {
      if (i == label_) continue;
      const ClassTerm<X> result =
          term_(class_pair(p.log_probability(i), q_.log_probability(i), exact_log_ratio(p, q_, i)));
      value += result.value.value;
      slopes_[i] += share * result.slope.value;
    }
    value_ += share * bounded(value, term_);
  }

  Term term_;
  TeacherRows<Teacher> teachers_;
  std::size_t n_;
  double temperature_;
  std::size_t label_;
  ExactSoftmax<Student> q_;
  const Student* x_;
  detail::ScratchFrame frame_;
  long double* slopes_;
  long double value_ = 0;
  long double slope_sum_ = 0;
  double target_value_ = 0, target_slope_ = 0;
};

/// Returns the divergence of a row, summed over the weighted teachers; the gradient times `scale` goes to `grad` if it
/// is not null.
template <class L, class Term, class Student, class Teacher>
double divergence_row(const Term& term, const Student* student, TeacherRows<Teacher> teachers, std::size_t n,
                      double temperature, double scale, Student* grad, bool accumulate) {
  const double slope_factor = scale / temperature;
  const auto finish = [&](const auto& row) {
    if (grad) row.write({slope_factor, slope_factor * row.slope_sum()}, grad, accumulate);
    return row.value();
  };
  DivergenceRow<false, L, Term, Student, Teacher> row(term, student, teachers, n, temperature, none);
  if (n > 1 && row.compute()) return finish(row);
  return finish(ExactDivergenceRow<false, L, Term, Student, Teacher>(term, student, teachers, n, temperature, none));
}

/// Returns target * KL(label or not) + rest * KL(among the other classes), as divergence_row does.
template <class L, class Student, class Teacher>
double decoupled_row(double target, double rest, const Student* student, TeacherRows<Teacher> teachers, std::size_t n,
                     std::size_t label, double temperature, double scale, Student* grad, bool accumulate) {
  const auto finish = [&](const auto& row) {
    if (grad) {
      const double factor = scale / temperature, at_label = factor * target * row.target_slope();
      // what the label gains, the others lose, each by its share
      row.write({factor * rest, factor * rest * row.slope_sum() + at_label, at_label}, grad, accumulate);
    }
    return times(target, row.target_value()) + times(rest, row.value());
  };
  DivergenceRow<true, L, ForwardKlTerm, Student, Teacher> row({}, student, teachers, n, temperature, label);
  if (n > 1 && row.compute()) return finish(row);
  return finish(
      ExactDivergenceRow<true, L, ForwardKlTerm, Student, Teacher>({}, student, teachers, n, temperature, label));
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
