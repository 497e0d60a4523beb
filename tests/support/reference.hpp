// Naive references in long double, independent of the library: the plain formulas of the losses, one row each.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace reference {

using Row = std::vector<long double>;

/// Where long double has more digits than x86's, it is emulated: the accuracy tests take fewer rows.
inline constexpr bool is_slow = std::numeric_limits<long double>::digits > 64;

/// A row's loss and its gradient with respect to the student's scores.
struct Result {
  long double loss = 0;
  Row gradient;
};

inline Row log_softmax(const Row& x, long double temperature) {
  std::size_t top = 0;
  for (std::size_t i = 0; i < x.size(); ++i) top = x[i] > x[top] ? i : top;
  long double others = 0;  // without the 1 of the largest, so that a probability near 1 keeps its logarithm's digits
  for (std::size_t i = 0; i < x.size(); ++i) others += i == top ? 0 : std::exp((x[i] - x[top]) / temperature);
  Row result;
  for (const long double value : x) result.push_back((value - x[top]) / temperature - std::log1p(others));
  return result;
}

inline Row softmax(const Row& x, long double temperature) {
  Row result = log_softmax(x, temperature);
  for (long double& value : result) value = std::exp(value);
  return result;
}

/// KL(softmax(teacher / T) || softmax(student / T)), without T^2
inline Result kl_divergence(const Row& student, const Row& teacher, long double temperature) {
  const Row log_p = log_softmax(teacher, temperature);
  const Row log_q = log_softmax(student, temperature);
  Result result;
  for (std::size_t i = 0; i < student.size(); ++i) {
    const long double p = std::exp(log_p[i]);
    if (p > 0) result.loss += p * (log_p[i] - log_q[i]);
    result.gradient.push_back((std::exp(log_q[i]) - p) / temperature);
  }
  return result;
}

/// T^2 KL for T so large that softmax(x / T) is 1/n + (x - mean) / (n T): half the variance of teacher - student over
/// classes. The error is relative and of the order of the largest |x| / T.
inline Result scaled_kl_at_infinite_temperature(const Row& student, const Row& teacher, long double temperature) {
  const auto n = static_cast<long double>(student.size());
  long double mean = 0;
  for (std::size_t i = 0; i < student.size(); ++i) mean += (student[i] - teacher[i]) / n;
  Result result;
  for (std::size_t i = 0; i < student.size(); ++i) {
    const long double d = student[i] - teacher[i] - mean;
    result.loss += d * d / (2 * n);
    result.gradient.push_back(d / n);
  }
  (void)temperature;
  return result;
}

inline Result cross_entropy(const Row& student, std::size_t label, long double smoothing = 0) {
  const Row log_q = log_softmax(student, 1);
  const auto n = static_cast<long double>(student.size());
  Result result;
  for (std::size_t i = 0; i < student.size(); ++i) {
    const long double target = (i == label ? 1 - smoothing : 0) + smoothing / n;
    if (target > 0) result.loss -= target * log_q[i];
    result.gradient.push_back(std::exp(log_q[i]) - target);
  }
  return result;
}

/// alpha T^2 KL + (1 - alpha) CE
inline Result knowledge_distillation(const Row& student, const Row& teacher, std::size_t label, long double temperature,
                                     long double alpha) {
  const Result kl = kl_divergence(student, teacher, temperature);
  const Result ce = cross_entropy(student, label);
  const long double soft = alpha * temperature * temperature;
  Result result;
  result.loss = soft * kl.loss + (1 - alpha) * ce.loss;
  for (std::size_t i = 0; i < student.size(); ++i) {
    result.gradient.push_back(soft * kl.gradient[i] + (1 - alpha) * ce.gradient[i]);
  }
  return result;
}

}  // namespace reference
