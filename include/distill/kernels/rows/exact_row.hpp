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

/// The sum of exp((x - maximum) / temperature) over classes. Nearly equal logits (a huge temperature) keep their
/// differences, because it is held as a count and an excess; and the logarithm of a probability near 1 keeps its digits,
/// because the largest class is left out of `others`.
struct ExactSum {
  long double maximum = -std::numeric_limits<long double>::infinity();  // NaN if a number is
  long double excess = 0;                                               // the sum less the count
  long double others = 0;                                               // the sum less 1
  std::size_t count = 0;

  bool is_empty() const { return maximum == -std::numeric_limits<long double>::infinity(); }

  void join(const ExactSum& other, double temperature) {
    const AllExceptionsHeld held;
    const ExactSum low = other.maximum <= maximum ? other : *this;
    if (!(other.maximum <= maximum)) *this = other;
    const long double gap = (low.maximum - maximum) / static_cast<long double>(temperature);
    if (std::isnan(low.maximum)) maximum = low.maximum;
    if (low.is_empty()) {
      excess -= static_cast<long double>(low.count);
    } else {
      excess += std::exp(gap) * low.excess + static_cast<long double>(low.count) * std::expm1(gap);
      others += std::exp(gap) * (1 + low.others);
    }
    count += low.count;
  }

  /// log(the sum / the count)
  long double log_mean() const { return std::log1p(excess / static_cast<long double>(count)); }
  long double log() const {
    return others < 1 ? std::log1p(others) : std::log(static_cast<long double>(count)) + log_mean();
  }
};

template <class Stored>
ExactSum exact_sum(const Stored* x, std::size_t n, double temperature, std::size_t skip = none) {
  constexpr long double masked = -std::numeric_limits<long double>::infinity();
  const auto at = [&](std::size_t i) { return i == skip ? masked : detail::load_scalar<long double>(x + i); };
  ExactSum sum;
  sum.count = n;
  for (std::size_t i = 0; i < n; ++i) {
    const long double value = at(i);
    if (std::isnan(value)) sum.maximum = value;
    if (value > sum.maximum) sum.maximum = value;
  }
  bool is_first = true;
  for (std::size_t i = 0; i < n && !sum.is_empty(); ++i) {
    const long double scaled = (at(i) - sum.maximum) / static_cast<long double>(temperature);
    sum.excess += std::expm1(scaled);
    const bool is_largest = is_first && at(i) == sum.maximum;
    sum.others += is_largest ? scaled : std::exp(scaled);  // of the largest 0, or NaN if it is infinite
    is_first = is_first && !is_largest;
  }
  return sum;
}

/// The softmax of a row at a temperature, class `skip` left out.
template <class Stored>
class ExactSoftmax {
 public:
  ExactSoftmax(const Stored* x, std::size_t n, double temperature, std::size_t skip = none)
      : x_(x),
        temperature_(static_cast<long double>(temperature)),
        skip_(skip),
        sum_(exact_sum(x, n, temperature, skip)) {
    excess_ = sum_.log_mean();
    log_sum_ = sum_.log();
  }

  long double at(std::size_t i) const { return i == skip_ ? masked : detail::load_scalar<long double>(x_ + i); }
  /// Whether all classes are masked: then there are no probabilities.
  bool is_empty() const { return sum_.is_empty(); }
  /// (x_i - max) / temperature; NaN where the row has NaN or +infinity, or nothing but -infinity
  long double scaled(std::size_t i) const { return (at(i) - sum_.maximum) / temperature_; }
  long double excess() const { return excess_; }
  long double log_probability(std::size_t i) const { return scaled(i) - log_sum_; }
  /// log(exp(x / temperature) / the sum of exponentials)
  long double log_odds(long double x) const { return (x - sum_.maximum) / temperature_ - log_sum_; }

 private:
  static constexpr long double masked = -std::numeric_limits<long double>::infinity();

  AllExceptionsHeld held_;  // as long as what is made of it is computed
  const Stored* x_;
  long double temperature_;
  std::size_t skip_;
  ExactSum sum_;
  long double excess_;
  long double log_sum_;
};

/// log p_i - log q_i
template <class Teacher, class Student>
long double exact_log_ratio(const ExactSoftmax<Teacher>& p, const ExactSoftmax<Student>& q, std::size_t i) {
  return (p.scaled(i) - q.scaled(i)) - (p.excess() - q.excess());
}

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
