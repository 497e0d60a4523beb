// Measures the errors of the class-score losses against long double, prints the table and asserts the published bounds.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include <distill/distill.hpp>

#include "accuracy/scores.hpp"
#include "support/reference.hpp"
#include "support/tolerances.hpp"

namespace {

using namespace distill;
using accuracy::eps;
using accuracy::raise;

struct Softmax {
  std::vector<long double> p, log_p;
};

/// Naive, in long double; the sum leaves out the largest class, so that log p keeps its digits where p is nearly 1.
Softmax reference_softmax(const std::vector<float>& x, double temperature) {
  const auto top = static_cast<std::size_t>(std::max_element(x.begin(), x.end()) - x.begin());
  long double others = 0;
  Softmax r{std::vector<long double>(x.size()), std::vector<long double>(x.size())};
  for (std::size_t i = 0; i < x.size(); ++i) {
    r.log_p[i] = (static_cast<long double>(x[i]) - x[top]) / temperature;
    r.p[i] = std::exp(r.log_p[i]);
    if (i != top) others += r.p[i];
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    r.p[i] /= 1 + others;
    r.log_p[i] -= std::log1p(others);
  }
  return r;
}

double ulp_error(float value, long double exact) {
  const auto rounded = static_cast<float>(exact);
  const double ulp = static_cast<double>(std::nextafter(std::abs(rounded), INFINITY)) - std::abs(rounded);
  return std::abs(static_cast<double>(value - exact)) / ulp;
}

/// The softmax of a float row as PyTorch's CPU kernel computes it: x / T rounded, minus the maximum, exponentials
/// summed in float, divided. The exponential here is correctly rounded, which flatters it.
std::vector<float> softmax_in_float(const std::vector<float>& x, double temperature) {
  std::vector<float> out(x.size());
  const auto t = static_cast<float>(temperature);
  float largest = -INFINITY;
  for (const float v : x) largest = std::max(largest, v / t);
  float sums[16] = {};
  for (std::size_t i = 0; i < x.size(); ++i) {
    out[i] = static_cast<float>(std::exp(static_cast<double>(x[i] / t - largest)));
    sums[i % 16] += out[i];
  }
  float sum = 0;
  for (const float s : sums) sum += s;
  for (float& v : out) v /= sum;
  return out;
}

struct Worst {
  double softmax_ulp = 0, softmax_in_float_ulp = 0, row_sum = 0, log_softmax_ulp = 0;
  double kl_absolute = 0, kl_relative = 0, kl_lowest = 0;
  double gradient_eps = 0, gradient_row_eps = 0, gradient_sum = 0;
  double ce_relative = 0, kd_absolute = 0, kd_gradient_eps = 0;
};

Worst measure(Precision precision) {
  Worst worst;
  accuracy::ScoreSource source;
  std::vector<std::pair<std::size_t, int>> shapes = {{2, 200},   {10, 200},  {100, 50},
                                                     {1000, 20}, {32000, 2}, {262144, 1}};
  if (reference::is_slow) shapes = {{2, 50}, {10, 50}, {100, 20}, {1000, 5}, {32000, 1}};
  for (const accuracy::Student kind : accuracy::students) {
    for (const double temperature : {0.05, 0.5, 1.0, 4.0, 30.0, 100.0}) {
      for (const auto& [cols, rows] : shapes) {
        for (int row = 0; row < rows; ++row) {
          const auto [student, teacher] = source.next(kind, row % 2 == 0, temperature, cols);
          std::vector<float> out(cols), grad(cols);
          const MatrixView s{student.data(), 1, cols};
          const MatrixView t{teacher.data(), 1, cols};
          const MatrixView g{grad.data(), 1, cols};
          const Softmax q = reference_softmax(student, temperature);
          const Softmax p = reference_softmax(teacher, temperature);

          distill::softmax(s, MatrixView{out.data(), 1, cols}, temperature, {precision, {}});
          const std::vector<float> peer = softmax_in_float(student, temperature);
          double sum = 0;
          for (std::size_t i = 0; i < cols; ++i) {
            sum += static_cast<double>(out[i]);
            if (q.p[i] < std::numeric_limits<float>::min()) continue;
            raise(worst.softmax_ulp, ulp_error(out[i], q.p[i]));
            raise(worst.softmax_in_float_ulp, ulp_error(peer[i], q.p[i]));
          }
          raise(worst.row_sum, std::abs(sum - 1));

          distill::log_softmax(s, MatrixView{out.data(), 1, cols}, temperature, {precision, {}});
          for (std::size_t i = 0; i < cols; ++i) {
            if (q.log_p[i] > -std::numeric_limits<float>::min()) continue;
            raise(worst.log_softmax_ulp, ulp_error(out[i], q.log_p[i]));
          }

          KlDivergence kl;
          kl.temperature = temperature;
          kl.precision = precision;
          kl.scale_by_temperature_squared = false;
          kl.weight = temperature;  // so that the gradient is q - p
          const double value = kl(s, t, g) / temperature;
          long double exact = 0;
          for (std::size_t i = 0; i < cols; ++i) {
            const long double d = p.log_p[i] - q.log_p[i];
            exact +=
                p.p[i] * (std::abs(d) < 1e-3L ? d * d / 2 - d * d * d / 6 + d * d * d * d / 24 : std::expm1(-d) + d);
          }
          const double error = std::abs(static_cast<double>(value - exact));
          raise(worst.kl_absolute, error / std::max(1.0, static_cast<double>(exact)));
          if (exact >= 1e-7L) raise(worst.kl_relative, static_cast<double>(error / exact));
          raise(worst.kl_lowest, -value);
          double row_maximum = 0, gradient_sum = 0, row_error = 0;
          for (std::size_t i = 0; i < cols; ++i) {
            const auto larger = static_cast<double>(std::max(p.p[i], q.p[i]));
            const double e = std::abs(static_cast<double>(grad[i] - (q.p[i] - p.p[i])));
            row_maximum = std::max(row_maximum, larger);
            row_error = std::max(row_error, e);
            if (larger >= 1e-36) raise(worst.gradient_eps, e / (eps * larger));
            gradient_sum += static_cast<double>(grad[i]);
          }
          raise(worst.gradient_row_eps, row_error / (eps * row_maximum));
          raise(worst.gradient_sum, std::abs(gradient_sum));

          const std::size_t label = static_cast<std::size_t>(row) % cols;
          const std::size_t labels[] = {label};
          const LabelsView l{labels, 1};
          const Softmax hard = reference_softmax(student, 1);
          CrossEntropy ce;
          ce.precision = precision;
          const double ce_value = ce(s, l);
          if (hard.log_p[label] < -1e-30L) {
            raise(worst.ce_relative, static_cast<double>(std::abs(1 + ce_value / hard.log_p[label])));
          }
          KnowledgeDistillation kd;
          kd.temperature = temperature;
          kd.precision = precision;
          kd.alpha = 0.5;
          const double kd_value = kd(s, t, l, g);
          const double squared = temperature * temperature;
          const auto kd_exact = static_cast<double>(0.5L * squared * exact - 0.5L * hard.log_p[label]);
          raise(worst.kd_absolute, std::abs(kd_value - kd_exact) / std::max({1.0, squared, kd_exact}));
          for (std::size_t i = 0; i < cols; ++i) {
            const long double element =
                0.5L * temperature * (q.p[i] - p.p[i]) + 0.5L * (hard.p[i] - (i == label ? 1 : 0));
            const auto size = static_cast<double>(0.5L * temperature * std::max(p.p[i], q.p[i]) +
                                                  0.5L * (i == label ? 1 : hard.p[i]));
            if (size < 1e-36) continue;
            raise(worst.kd_gradient_eps, std::abs(static_cast<double>(grad[i] - element)) / (eps * size));
          }
        }
      }
    }
  }
  return worst;
}

void print(const char* what, double standard, double bound_standard, double high, double bound_high) {
  std::printf("| %-52s | %9.2g | %9.2g | %9.2g | %9.2g |\n", what, standard, bound_standard, high, bound_high);
}

}  // namespace

TEST_CASE("float: the published accuracy") {
  const Worst standard = measure(Precision::standard);
  const Worst high = measure(Precision::high);
  std::printf("\n| %-52s | %9s | %9s | %9s | %9s |\n", "float, worst seen", "standard", "bound", "high", "bound");
  std::printf(
      "|------------------------------------------------------|-----------|-----------|-----------|-----------|\n");
#define DISTILL_ROW(what, field, bound_standard, bound_high)           \
  print(what, standard.field, bound_standard, high.field, bound_high); \
  CHECK(standard.field <= tolerances::without_fma * bound_standard);   \
  CHECK(high.field <= tolerances::without_fma * bound_high)
  DISTILL_ROW("softmax, ULP", softmax_ulp, 4, 4);
  DISTILL_ROW("the same in plain float, ULP (as PyTorch computes it)", softmax_in_float_ulp, INFINITY, INFINITY);
  DISTILL_ROW("softmax, row sum - 1", row_sum, 2e-7, 2e-7);
  DISTILL_ROW("log_softmax, ULP", log_softmax_ulp, 4, 4);
  DISTILL_ROW("KL, error / max(1, KL)", kl_absolute, 3e-7, 5e-7);
  DISTILL_ROW("KL >= 1e-7, relative error", kl_relative, INFINITY, 5e-7);
  DISTILL_ROW("KL, below zero", kl_lowest, 0, 0);
  DISTILL_ROW("KL gradient, error / (eps max(p_i, q_i))", gradient_eps, 4, 4);
  DISTILL_ROW("KL gradient, error / (eps row's maximum)", gradient_row_eps, 2, 2);
  DISTILL_ROW("KL gradient, row sum", gradient_sum, 2e-7, 2e-7);
  DISTILL_ROW("CrossEntropy, relative error", ce_relative, 5e-7, 5e-7);
  DISTILL_ROW("KnowledgeDistillation, error / max(1, T^2, loss)", kd_absolute, 3e-7, 3e-7);
  DISTILL_ROW("KnowledgeDistillation gradient, error / (eps terms)", kd_gradient_eps, 4, 4);
#undef DISTILL_ROW
  CHECK(standard.softmax_ulp <= standard.softmax_in_float_ulp);
}
