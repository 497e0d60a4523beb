// Measures the errors of the divergences against long double, prints the table and asserts the published bounds.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <distill/distill.hpp>
#include <functional>
#include <string>
#include <vector>

#include "accuracy/scores.hpp"
#include "support/reference.hpp"
#include "support/tolerances.hpp"

namespace {

using namespace distill;
using accuracy::eps;
using accuracy::raise;

struct Class {
  long double p, q, log_p, log_q;
};

/// A divergence by its formula: what a class adds, and the derivative by q.
struct Formula {
  std::string name;
  std::function<double(MatrixView<const float>, MatrixView<const float>, MatrixView<float>, double)> call;
  std::function<long double(const Class&)> value, slope;
  double absolute_bound = 3e-7;  // of the value, relative to 1 or a larger value
  double relative_bound = 4e-6;  // of the value, where that is 1e-7 or more
  bool has_kink = false;
};

template <class Loss>
Formula formula(const char* name, Loss loss, std::function<long double(const Class&)> value,
                std::function<long double(const Class&)> slope) {
  return {name,
          [=](auto s, auto t, auto g, double temperature) {
            Loss configured = loss;
            configured.temperature = temperature;
            configured.scale_by_temperature_squared = false;
            configured.weight = temperature;  // so that the gradient is q (h - sum q h)
            return configured(s, t, g) / temperature;
          },
          std::move(value), std::move(slope)};
}

long double kl(long double a, long double log_a, long double log_b) {
  return a == 0 ? 0 : a * (log_a - log_b);
}

std::vector<Formula> formulas() {
  const auto mix = [](long double a) { return [=](const Class& c) { return std::log(a * c.p + (1 - a) * c.q); }; };
  const long double beta = 0.3L, skew = 0.1L;
  std::vector<Formula> all = {
      formula(
          "ReverseKl", ReverseKl{}, [](const Class& c) { return kl(c.q, c.log_q, c.log_p); },
          [](const Class& c) { return c.log_q - c.log_p; }),
      formula(
          "SymmetricKl", SymmetricKl{},
          [](const Class& c) { return (kl(c.p, c.log_p, c.log_q) + kl(c.q, c.log_q, c.log_p)) / 2; },
          [](const Class& c) { return (c.log_q - c.log_p - std::exp(c.log_p - c.log_q)) / 2; }),
      formula(
          "JensenShannon", JensenShannon{.beta = 0.3},
          [=](const Class& c) {
            return beta * kl(c.p, c.log_p, mix(beta)(c)) + (1 - beta) * kl(c.q, c.log_q, mix(beta)(c));
          },
          [=](const Class& c) { return (1 - beta) * (c.log_q - mix(beta)(c)); }),
      formula(
          "SkewedKl", SkewedKl{.skew = 0.1}, [=](const Class& c) { return kl(c.p, c.log_p, mix(skew)(c)); },
          [=](const Class& c) { return -(1 - skew) * std::exp(c.log_p - mix(skew)(c)); }),
      formula(
          "SkewedReverseKl", SkewedReverseKl{.skew = 0.1},
          [=](const Class& c) { return kl(c.q, c.log_q, mix(1 - skew)(c)); },
          [=](const Class& c) { return c.log_q - mix(1 - skew)(c) - skew * std::exp(c.log_q - mix(1 - skew)(c)); }),
      formula(
          "AlphaDivergence", AlphaDivergence{.alpha = 0.5},
          [](const Class& c) {
            const long double d = std::exp(c.log_p / 2) - std::exp(c.log_q / 2);
            return 2 * d * d;
          },
          [](const Class& c) { return -2 * std::exp((c.log_p - c.log_q) / 2); }),
      formula(
          "TotalVariation", TotalVariation{}, [](const Class& c) { return std::abs(c.p - c.q) / 2; },
          [](const Class& c) { return c.q > c.p   ? 0.5L
                                      : c.q < c.p ? -0.5L
                                                  : 0.0L; }),
  };
  all[all.size() - 2].absolute_bound = 4e-7;  // AlphaDivergence multiplies its terms by 1 / (alpha (1 - alpha))
  // TotalVariation grows with the difference, not with its square, so the rounding of a class near certainty is all there is left.
  all.back().relative_bound = 1;
  all.back().has_kink = true;
  return all;
}

struct Worst {
  double absolute = 0, relative = 0, lowest = 0, gradient = 0, sum = 0;
};

Worst measure(const Formula& formula) {
  Worst worst;
  accuracy::ScoreSource source;
  std::vector<std::pair<std::size_t, int>> shapes = {{2, 50}, {10, 50}, {1000, 5}};
  if (!reference::is_slow) shapes.push_back({32000, 1});
  for (const accuracy::Student kind : accuracy::students) {
    for (const double temperature : {0.5, 1.0, 4.0, 30.0, 100.0}) {
      for (const auto& [cols, rows] : shapes) {
        for (int row = 0; row < rows; ++row) {
          const auto [student, teacher] = source.next(kind, row % 2 == 0, temperature, cols);
          std::vector<float> grad(cols);
          const double value =
              formula.call({student.data(), 1, cols}, {teacher.data(), 1, cols}, {grad.data(), 1, cols}, temperature);
          const reference::Row log_p = reference::log_softmax({teacher.begin(), teacher.end()}, temperature);
          const reference::Row log_q = reference::log_softmax({student.begin(), student.end()}, temperature);
          long double exact = 0, mean = 0;
          std::vector<long double> slope(cols);
          std::vector<Class> classes;
          for (std::size_t i = 0; i < cols; ++i) {
            classes.push_back({std::exp(log_p[i]), std::exp(log_q[i]), log_p[i], log_q[i]});
            exact += formula.value(classes[i]);
            slope[i] = classes[i].q == 0 ? 0 : classes[i].q * formula.slope(classes[i]);
            mean += slope[i];
          }
          const double error = std::abs(static_cast<double>(value - exact));
          raise(worst.absolute, error / std::max(1.0, static_cast<double>(exact)));
          if (exact >= 1e-7L) raise(worst.relative, static_cast<double>(error / exact));
          raise(worst.lowest, -value);
          double sum = 0, size = 0;
          // at the kink of |p - q|, which side a class is on is a matter of rounding
          bool has_gradient = true;
          for (std::size_t i = 0; formula.has_kink && i < cols; ++i) {
            if (std::abs(log_p[i] - log_q[i]) < 1e-4L) has_gradient = false;
          }
          for (std::size_t i = 0; i < cols; ++i) {
            const long double q = classes[i].q;
            const double terms =
                static_cast<double>(std::max(classes[i].p, q) + std::abs(slope[i]) + q * std::abs(mean));
            const double e = std::abs(static_cast<double>(grad[i] - (slope[i] - q * mean)));
            if (has_gradient && terms >= 1e-36) raise(worst.gradient, e / (eps * terms));
            sum += static_cast<double>(grad[i]);
            // equal terms are all rounded one way, so there the unit is their sum
            size = kind == accuracy::Student::constant ? size + static_cast<double>(std::abs(slope[i]))
                                                       : std::max(size, terms);
          }
          raise(worst.sum, std::abs(sum) / std::max(1.0, size));
        }
      }
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("float: the published accuracy of the divergences") {
  std::printf("\n| %-16s | %-20s | %-21s | %-24s | %-11s |\n", "worst seen", "error / max(1, D)", "D >= 1e-7, relative",
              "gradient / (eps terms)", "row sum");
  for (const Formula& formula : formulas()) {
    CAPTURE(formula.name);
    const Worst worst = measure(formula);
    std::printf("| %-16s | %20.2g | %21.2g | %24.2g | %11.2g |\n", formula.name.c_str(), worst.absolute, worst.relative,
                worst.gradient, worst.sum);
    CHECK(worst.absolute <= tolerances::without_fma * formula.absolute_bound);
    CHECK(worst.relative <= formula.relative_bound);
    CHECK(worst.lowest <= 0);
    CHECK(worst.gradient <= 6);
    CHECK(worst.sum <= 4e-7);
  }
}
