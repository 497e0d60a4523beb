#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <distill/features/activation_boundary.hpp>
#include <limits>
#include <vector>

#include "support/golden.hpp"
#include "support/hidden_loss.hpp"

namespace {

using distill::ActivationBoundary;
using distill::MatrixView;

void check_formula(std::size_t cols, double margin) {
  CAPTURE(cols);
  CAPTURE(margin);
  auto checked = support::hidden_loss(
      "ActivationBoundary", ActivationBoundary{.margin = margin},
      [](const auto& loss, auto s, auto t, auto g, const auto& options) { return loss(s, t, g, options); });
  checked.student_size = checked.teacher_size = checked.sum_terms = cols;
  checked.sample = [=](const reference::Row& s, const reference::Row& t) {
    long double sum = 0;
    for (std::size_t j = 0; j < s.size(); ++j) {
      const long double side = t[j] > 0 ? 1 : -1, hinge = std::max(margin - side * s[j], 0.0L);
      sum += hinge * hinge;
    }
    return sum;
  };
  support::check_hidden_loss(checked);
}

/// One row of floats.
struct Outcome {
  double loss;
  std::vector<float> grad;
};
Outcome one_row(const ActivationBoundary& loss, const std::vector<float>& student, const std::vector<float>& teacher) {
  Outcome outcome{0, std::vector<float>(student.size(), 42)};
  outcome.loss = loss(MatrixView{student.data(), 1, student.size()}, MatrixView{teacher.data(), 1, student.size()},
                      MatrixView{outcome.grad.data(), 1, student.size()});
  return outcome;
}

}  // namespace

TEST_CASE("ActivationBoundary: value and gradient are the formula's") {
  for (const std::size_t cols : {1, 6, 41}) check_formula(cols, 1);
  check_formula(7, 0);
  check_formula(7, 0.75);
  check_formula(7, 100);
}

TEST_CASE("ActivationBoundary: golden vectors") {
  for (const auto& golden : support::golden_cases("activation_boundary.repdistiller")) {
    CAPTURE(golden.at("name").get<std::string>());
    const support::GoldenArray student(golden.at("inputs").at("student")), teacher(golden.at("inputs").at("teacher"));
    const auto rows = golden.at("inputs").at("student").at("shape").front().get<std::size_t>();
    const std::size_t cols = student.data.size() / rows;
    std::vector<double> grad(student.data.size(), 42);
    const ActivationBoundary loss{.margin = golden.at("params").at("margin"), .weight = 3.0 / 1000};
    support::check_golden_loss(
        golden, loss(MatrixView{student.data.data(), rows, cols}, MatrixView{teacher.data.data(), rows, cols},
                     MatrixView{grad.data(), rows, cols}));
    support::check_golden_gradient(golden, grad);
  }
}

TEST_CASE("ActivationBoundary: a margin that is kept costs nothing; a teacher of 0 is inactive") {
  const Outcome kept = one_row({}, {1, 3, -1, -2}, {0.1f, 7, -0.1f, 0});
  CHECK(kept.loss == 0);
  CHECK(kept.grad == std::vector<float>(4, 0));
  const Outcome inactive = one_row({}, {0.5f}, {0});
  CHECK(inactive.loss == 2.25);
  CHECK(inactive.grad == std::vector<float>{3});
}

TEST_CASE("ActivationBoundary: squares that overflow or vanish") {
  const Outcome large = one_row({}, {-1e30f, 1e30f}, {1, 1});
  CHECK(large.loss == doctest::Approx(1e60).epsilon(1e-6));
  CHECK(large.grad == std::vector<float>{-2e30f, 0});
  const Outcome tiny = one_row({.margin = 0}, {1e-30f, 1}, {-1, 1});
  CHECK(tiny.loss == doctest::Approx(1e-60).epsilon(1e-6));
  CHECK(tiny.grad == std::vector<float>{2e-30f, 0});
}

TEST_CASE("ActivationBoundary: parameters out of range throw") {
  std::vector<float> grad{42, 42};
  const std::vector<float> row{1, 2};
  for (const double margin :
       {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    support::check_throws(
        [&] {
          ActivationBoundary{.margin = margin}(MatrixView{row.data(), 1, 2}, MatrixView{row.data(), 1, 2},
                                               MatrixView{grad.data(), 1, 2});
        },
        {"ActivationBoundary: margin is ", "expected a finite number of at least 0"});
  }
  CHECK(grad == std::vector<float>{42, 42});
}
