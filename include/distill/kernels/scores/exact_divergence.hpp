// A row of a divergence by the plain formulas, for rows that the fast sweeps cannot take (see exact_row.hpp).
#pragma once

#include <cmath>
#include <cstddef>

#include <distill/core/gradient.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/exact_row.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/scores/scores_row.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// The gradient is slope_factor * slope - q_factor * q for every class except the label, which gets `at_label`.
struct GradientFactors {
  double slope;
  double q;
  double at_label = 0;
};

/// A divergence and its slopes. Compiled with a label, that class is left out of the probabilities, and compared with
/// all others together (`target`: the KL divergence of "the label or not").
template <bool has_label, class L, class Term, class Student, class Teacher>
class ExactDivergenceRow {
  using X = Lanes<long double, ScalarArch>;

 public:
  ExactDivergenceRow(const Term& term, const ScoresRow<Student, Teacher>& row, double temperature)
      : term_(term),
        n_(row.n),
        temperature_(temperature),
        label_(has_label ? row.label : none),
        q_(row.student, row.n, temperature, label_),
        x_(row.student),
        slopes_(frame_.take<long double>(row.n)) {
    for (std::size_t i = 0; i < n_; ++i) slopes_[i] = 0;
    for (std::size_t k = 0; k < row.teachers.count; ++k) {
      if (row.teachers.weights[k] != 0) add_teacher(row.teachers.scores[k], row.teachers.weights[k]);
    }
    for (std::size_t i = 0; i < n_; ++i) slope_sum_ += slopes_[i];
  }

  double value() const { return static_cast<double>(value_); }
  double slope_sum() const { return static_cast<double>(slope_sum_); }
  double target_value() const { return target_value_; }
  double target_slope() const { return target_slope_; }

  /// Adds more(i) to element i, which is read before it is written, so that grad may be the student's memory.
  template <class More>
  void write(const GradientFactors& factors, const GradientRow<Student>& grad, const More& more) const {
    using T = typename L::Scalar;
    const auto at_label = static_cast<long double>(factors.at_label);
    const auto slope = static_cast<long double>(factors.slope), q_factor = static_cast<long double>(factors.q);
    for (std::size_t i = 0; i < n_; ++i) {
      const long double q = has_label && q_.is_empty() ? 0 : std::exp(q_.log_probability(i));
      const long double element = i == label_ ? at_label : slope * slopes_[i] - q_factor * q;
      put(Lanes<T, ScalarArch>(static_cast<T>(element + more(i))), grad, i, i + 1);
    }
  }
  void write(const GradientFactors& factors, const GradientRow<Student>& grad) const {
    write(factors, grad, [](std::size_t) { return 0.0L; });
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

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
