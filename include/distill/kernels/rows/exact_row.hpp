// Rows that the fast sweeps cannot take: huge logits, extreme temperatures, infinities, NaN. One number at a time, in
// long double, by the plain formulas: here correctness matters, not speed.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include <distill/core/scalar.hpp>
#include <distill/core/version.hpp>
#include <distill/kernels/rows/range.hpp>
#include <distill/kernels/simd/held_exceptions.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

/// The softmax of a row at a temperature, class `skip` left out. Nearly equal logits (a huge temperature) keep their
/// differences, because the sum of exponentials is held as n * exp(excess); and the logarithm of a probability near 1
/// keeps its digits, because the largest class is left out of the sum where the others are small.
template <class Stored>
class ExactSoftmax {
 public:
  ExactSoftmax(const Stored* x, std::size_t n, double temperature, std::size_t skip = none)
      : x_(x), n_(n), temperature_(static_cast<long double>(temperature)), skip_(skip) {
    maximum_ = masked;
    for (std::size_t i = 0; i < n; ++i) {
      const long double value = at(i);
      if (std::isnan(value)) maximum_ = value;
      if (value > maximum_) maximum_ = value;
    }
    long double sum = 0, others = 0;
    bool is_first = true;
    for (std::size_t i = 0; i < n; ++i) {
      sum += std::expm1(scaled(i));
      const bool is_largest = is_first && at(i) == maximum_;
      others += is_largest ? scaled(i) : std::exp(scaled(i));  // of the largest 0, or NaN if it is infinite
      is_first = is_first && !is_largest;
    }
    const long double log_n = std::log(static_cast<long double>(n));
    excess_ = std::log1p(sum / static_cast<long double>(n));
    log_sum_ = others < 1 ? std::log1p(others) : log_n + excess_;
  }

  long double at(std::size_t i) const { return i == skip_ ? masked : detail::load_scalar<long double>(x_ + i); }
  /// Whether all classes are masked: then there are no probabilities.
  bool is_empty() const { return maximum_ == masked; }
  /// (x_i - max) / temperature; NaN where the row has NaN or +infinity, or nothing but -infinity
  long double scaled(std::size_t i) const { return (at(i) - maximum_) / temperature_; }
  long double excess() const { return excess_; }
  long double log_probability(std::size_t i) const { return scaled(i) - log_sum_; }
  /// log(exp(x / temperature) / the sum of exponentials)
  long double log_odds(long double x) const { return (x - maximum_) / temperature_ - log_sum_; }

 private:
  static constexpr long double masked = -std::numeric_limits<long double>::infinity();

  AllExceptionsHeld held_;  // as long as what is made of it is computed
  const Stored* x_;
  std::size_t n_;
  long double temperature_;
  std::size_t skip_;
  long double maximum_;
  long double excess_;
  long double log_sum_;
};

/// log p_i - log q_i
template <class Teacher, class Student>
long double exact_log_ratio(const ExactSoftmax<Teacher>& p, const ExactSoftmax<Student>& q, std::size_t i) {
  return (p.scaled(i) - q.scaled(i)) - (p.excess() - q.excess());
}

/// KL(p || q) as a sum of terms >= 0: p * (exp(-d) - 1 + d) with d = log p - log q, and q where p is 0.
template <class Teacher, class Student>
double exact_kl(const ExactSoftmax<Teacher>& p, const ExactSoftmax<Student>& q, std::size_t n) {
  long double sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const long double probability = std::exp(p.log_probability(i));
    if (probability == 0) {
      sum += std::exp(q.log_probability(i));
      continue;
    }
    const long double d = exact_log_ratio(p, q, i);
    if (std::abs(d) < 1e-3L) {
      sum += probability * (d * d * (1 / 2.0L - d * (1 / 6.0L - d * (1 / 24.0L - d / 120))));
    } else if (std::abs(d) < 1) {
      sum += probability * (std::expm1(-d) + d);
    } else {
      sum += probability * d + (std::exp(q.log_probability(i)) - probability);
    }
  }
  return static_cast<double>(sum);
}

/// q_i - p_i
template <class Teacher, class Student>
long double exact_difference(const ExactSoftmax<Teacher>& p, const ExactSoftmax<Student>& q, std::size_t i) {
  const long double probability = std::exp(p.log_probability(i));
  if (probability == 0) return std::exp(q.log_probability(i));
  const long double d = exact_log_ratio(p, q, i);
  return std::abs(d) < 1 ? probability * std::expm1(-d) : std::exp(q.log_probability(i)) - probability;
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
