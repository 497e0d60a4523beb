// Divergences by their formulas, in long double, class by class.
#pragma once

#include <cmath>
#include <cstddef>

#include "support/score_loss.hpp"

namespace reference {

/// sum of f(p, q, log p, log q) over classes, p = softmax(teacher / T), q = softmax(student / T)
template <class F>
support::RowFormula sum_over_classes(long double temperature, const F& f) {
  return [=](const Row& student, const Row& teacher, std::size_t, const Row&) {
    const Row log_p = log_softmax(teacher, temperature), log_q = log_softmax(student, temperature);
    long double sum = 0;
    for (std::size_t j = 0; j < student.size(); ++j)
      sum += f(std::exp(log_p[j]), std::exp(log_q[j]), log_p[j], log_q[j]);
    return sum;
  };
}

/// a log(a / b), 0 where a is 0
inline long double kl(long double a, long double log_a, long double log_b) {
  return a == 0 ? 0 : a * (log_a - log_b);
}

inline support::RowFormula forward_kl(long double temperature) {
  return sum_over_classes(temperature, [](auto p, auto, auto log_p, auto log_q) { return kl(p, log_p, log_q); });
}
inline support::RowFormula reverse_kl(long double temperature) {
  return sum_over_classes(temperature, [](auto, auto q, auto log_p, auto log_q) { return kl(q, log_q, log_p); });
}
inline support::RowFormula jensen_shannon(long double temperature, long double beta) {
  return sum_over_classes(temperature, [=](auto p, auto q, auto log_p, auto log_q) {
    const long double log_m = std::log(beta * p + (1 - beta) * q);
    return beta * kl(p, log_p, log_m) + (1 - beta) * kl(q, log_q, log_m);
  });
}

}  // namespace reference
