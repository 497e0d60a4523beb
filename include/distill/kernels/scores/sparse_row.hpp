// One row of a divergence from a teacher of which only some classes are known.
//
// The student's probabilities of those classes come from one sweep over its row; the divergence itself is a sum over
// few classes, in double. The slopes of all other classes are the same multiple of their probability, so their gradient
// is one more sweep.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>

#include <distill/core/scalar.hpp>
#include <distill/core/scratch.hpp>
#include <distill/core/teachers.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/exp_sweep.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/rows/row_parts.hpp>
#include <distill/kernels/rows/sum_row.hpp>
#include <distill/kernels/scores/divergence.hpp>
#include <distill/kernels/simd/exp2.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>
#include <distill/kernels/simd/log.hpp>
#include <distill/kernels/simd/memory.hpp>
#include <distill/kernels/simd/two_parts.hpp>

namespace distill {
inline namespace DISTILL_ABI {

namespace kernels {

/// A class that the teacher gives, and the student's and the teacher's logarithms of its probability.
struct SparseClass {
  std::size_t index;
  double log_p, log_q;
  double slope;
  double before;  // what the gradient there is added to
};

/// log of the sum of exp(x)
template <class Numbers>
double log_sum(std::size_t n, const Numbers& x) {
  double largest = -infinity<double>;
  for (std::size_t i = 0; i < n; ++i) {
    if (!(x(i) <= largest)) largest = x(i);
  }
  if (!std::isfinite(largest)) return largest;
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += std::exp(x(i) - largest);
  return largest + std::log(sum);
}

/// Scores over a temperature, less the largest `of` them: a quotient may be beyond the numbers, where a softmax is not.
template <class Stored>
class ShiftedScores {
 public:
  template <class Index>
  ShiftedScores(const Stored* x, double temperature, std::size_t count, const Index& of)
      : x_(x), temperature_(temperature) {
    largest_ = -infinity<long double>;
    for (std::size_t j = 0; j < count; ++j) {
      if (const long double value = at(of(j)); !(value <= largest_)) largest_ = value;
    }
  }
  double operator()(std::size_t i) const {
    const AllExceptionsHeld held;
    return static_cast<double>((at(i) - largest_) / temperature_);
  }

 private:
  long double at(std::size_t i) const { return detail::load_scalar<long double>(x_ + i); }

  const Stored* x_;
  long double temperature_, largest_;
};

/// The student's side: logarithms of its probabilities of some classes and of all others together.
template <class L, class Student>
class SparseStudent {
  using T = typename L::Scalar;

 public:
  /// `classes` are sorted by index.
  SparseStudent(const Student* x, std::size_t n, double temperature, const SparseClass* classes, std::size_t count)
      : x_(x), n_(n), temperature_(temperature), classes_(classes), count_(count) {
    take_kept_rows(frame_, kept_, n);
    if (n > 1 && is_ordinary_temperature(temperature)) {
      all_ = join_parts(n, [&](Range part) { return sum_exponentials<L>(x, part, temperature, none, kept_); });
    }
    is_ordinary_ = all_.is_ordinary();
    if (is_ordinary_) {
      double inside = 0;
      for (std::size_t j = 0; j < count; ++j) inside += scalar_exp2(exponent_of(classes[j].index));
      // a difference, or a sum of its own where that would have lost its digits
      double outside = all_.sum - inside;
      if (!(outside > 0.25 * all_.sum)) outside = sum_of_others();
      log_total_ = all_.log();
      log_others_ = outside > 0x1p-60 * all_.sum ? std::log(outside) + ln_2 * all_.offset : log_of_others();
    } else {
      shifted_.emplace(x, temperature, n, [](std::size_t i) { return i; });
      log_total_ = log_sum(n, [&](std::size_t i) { return scaled(i); });
      log_others_ = log_of_others();
    }
    if (count == n) log_others_ = -infinity<double>;
  }

  double log_probability(std::size_t i) const { return scaled(i) - log_total_; }
  double log_others() const { return log_others_ - log_total_; }

  /// Writes q_factor * q for the other classes; what the teacher's classes get must be overwritten.
  void write(double q_factor, const GradientRow<Student>& grad) const {
    if (is_ordinary_) {
      join_parts(n_, [&](Range part) {
        raise_kept(kept_[0], x_, part, temperature_, none, all_.offset);
        return TermSums{};
      });
      for (std::size_t begin = 0, chunk = 0; begin < n_; begin += chunk_size<L>, ++chunk) {
        const Normaliser<L> q = all_.normaliser<L>(q_factor, kept_[0].offsets[chunk]);
        const std::size_t end = (std::min)(n_, begin + chunk_size<L>);
        for (std::size_t i = begin; i < end; i += L::width) {
          put(q(load<L>(kept_[0].values + i)), grad, i, n_);
        }
      }
      return;
    }
    for (std::size_t i = 0; i < n_; ++i) {
      const auto element = static_cast<T>(q_factor * std::exp(log_probability(i)));
      put(Lanes<T, ScalarArch>(element), grad, i, i + 1);
    }
  }

 private:
  double scaled(std::size_t i) const {
    return is_ordinary_ ? detail::load_scalar<double>(x_ + i) / temperature_ : (*shifted_)(i);
  }

  double exponent_of(std::size_t i) const {
    return exact_exponent(detail::load_scalar<double>(x_ + i), log2_e / temperature_, all_.offset);
  }

  /// Of their exponentials; takes those of the teacher's classes out of the kept row.
  double sum_of_others() {
    const KeptRow<L>& kept = kept_[0];
    for (std::size_t j = 0; j < count_; ++j) kept.values[classes_[j].index] = 0;
    double sum = 0;
    for (std::size_t begin = 0, chunk = 0; begin < n_; begin += chunk_size<L>, ++chunk) {
      const std::size_t size = (std::min)(n_ - begin, chunk_size<L>);
      const double part = sum_row<L>(size, [&](std::size_t i) { return load<L>(kept.values + begin + i); });
      sum += lowered(part, all_.offset - static_cast<double>(kept.offsets[chunk]));
    }
    return sum;
  }

  /// Where those exponentials are too small to be kept.
  double log_of_others() const {
    double largest = -infinity<double>, sum = 0;
    std::size_t next = 0;
    const auto each_other = [&](const auto& visit) {
      next = 0;
      for (std::size_t i = 0; i < n_; ++i) {
        if (next < count_ && classes_[next].index == i) {
          ++next;
        } else {
          visit(scaled(i));
        }
      }
    };
    each_other([&](double z) { largest = z <= largest ? largest : z; });
    if (!std::isfinite(largest)) return largest;
    each_other([&](double z) { sum += z - largest > -800 ? scalar_exp2(log2_e * (z - largest)) : 0; });
    return largest + std::log(sum);
  }

  const Student* x_;
  std::size_t n_;
  double temperature_;
  const SparseClass* classes_;
  std::size_t count_;
  ExpSum all_;
  detail::ScratchFrame frame_;
  KeptRow<L> kept_[1];
  bool is_ordinary_;
  std::optional<ShiftedScores<Student>> shifted_;  // of a row that is not
  double log_total_, log_others_;
};

/// What a divergence needs besides its terms where the sum is not over all classes: a term leaves out `linear` times q
/// - p, and a class of p = 0 adds `absent` times q.
template <class Term>
double absent_slope(const Term& term, double linear) {
  using D = Lanes<double, ScalarArch>;
  return term(ClassPair<D>{D(0), D(1), D(1), D(-infinity<double>)}).value.value + linear;
}

/// The temperatures of the loss and of a sparse teacher, and the treatment of the tail.
struct SparseOptions {
  double temperature;
  double teacher_temperature;
  Tail tail;
};

/// Returns the divergence; writes its gradient times `scale`. `classes` come sorted, log_p as the teacher gives them.
template <class L, class Term, class Student>
double sparse_row(const Term& term, double linear, const Student* x, std::size_t n, SparseClass* classes,
                  std::size_t count, const SparseOptions& options, double scale, const GradientRow<Student>& grad) {
  using D = Lanes<double, ScalarArch>;
  const bool renormalises = options.tail == Tail::renormalise_teacher || options.tail == Tail::renormalise_both;
  const bool has_bucket = options.tail == Tail::tail_bucket && count < n;

  // the teacher, softened from its own temperature to the loss's
  const double given = log_sum(count, [&](std::size_t j) { return classes[j].log_p; });
  double log_tail = given < 0 ? std::log(-std::expm1(given)) : given >= 0 ? -infinity<double> : given;
  const double ratio = options.teacher_temperature / options.temperature;
  if (ratio != 1 || renormalises) {
    for (std::size_t j = 0; j < count; ++j) classes[j].log_p *= ratio;
    log_tail *= ratio;
    double total = log_sum(count, [&](std::size_t j) { return classes[j].log_p; });
    if (!renormalises && count < n) {
      const double parts[] = {total, log_tail};
      total = log_sum(2, [&](std::size_t j) { return parts[j]; });
    }
    for (std::size_t j = 0; j < count; ++j) classes[j].log_p -= total;
    log_tail -= total;
  }

  // the whole row, unless the other classes do not exist
  std::optional<SparseStudent<L, Student>> student;
  double log_others = -infinity<double>;
  if (options.tail == Tail::renormalise_both) {
    const ShiftedScores<Student> shifted(x, options.temperature, count,
                                         [&](std::size_t j) { return classes[j].index; });
    const auto scaled = [&](std::size_t j) { return shifted(classes[j].index); };
    const double inside = log_sum(count, scaled);
    for (std::size_t j = 0; j < count; ++j) classes[j].log_q = scaled(j) - inside;
  } else {
    student.emplace(x, n, options.temperature, classes, count);
    for (std::size_t j = 0; j < count; ++j) classes[j].log_q = student->log_probability(classes[j].index);
    log_others = student->log_others();
  }

  // sums that are not over all classes need what the terms leave out
  const bool is_partial = options.tail == Tail::renormalise_teacher || options.tail == Tail::truncate;
  double value = 0, slope_sum = 0, others_slope = 0;
  for (std::size_t j = 0; j < count; ++j) {
    const ClassPair<D> c = class_pair(classes[j].log_p, classes[j].log_q, classes[j].log_p - classes[j].log_q);
    const ClassTerm<D> result = term(c);
    value += result.value.value + (is_partial ? linear * c.q_minus_p.value : 0);
    classes[j].slope = result.slope.value + (is_partial ? linear * c.q.value : 0);
    slope_sum += classes[j].slope;
  }
  const double others = std::exp(log_others);
  if (options.tail == Tail::renormalise_teacher && others > 0) {
    const double absent = absent_slope(term, linear);
    value += absent * others;
    others_slope = std::isfinite(absent) ? absent : 0;
    slope_sum += others_slope * others;
  } else if (has_bucket) {
    const ClassPair<D> c = class_pair(log_tail, log_others, log_tail - log_others);
    const ClassTerm<D> result = term(c);
    value += result.value.value;
    slope_sum += result.slope.value;
    others_slope = c.q.value > 0 ? result.slope.value / c.q.value : 0;
  }
  if (options.tail != Tail::truncate) value = bounded(value, term);

  if (grad) {
    const double factor = scale / options.temperature;
    // First all classes as unknown ones, then the known ones; the first sweep may overwrite the student, and rounds to
    // the stored type, so the second reuses nothing from it.
    for (std::size_t j = 0; j < count; ++j) {
      classes[j].before = grad.accumulate ? detail::load_scalar<double>(grad.data + classes[j].index) : 0;
    }
    if (student) {
      student->write(factor * (others_slope - slope_sum), grad);
    } else if (!grad.accumulate) {
      std::fill_n(grad.data, n, Student{});
    }
    for (std::size_t j = 0; j < count; ++j) {
      const double element = factor * (classes[j].slope - std::exp(classes[j].log_q) * slope_sum);
      detail::store_scalar(grad.data + classes[j].index, static_cast<typename L::Scalar>(classes[j].before + element));
    }
  }
  return value;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
