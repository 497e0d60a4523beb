#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <distill/relations/probabilistic_transfer.hpp>
#include <random>
#include <vector>

#include "support/relation_loss.hpp"

namespace {

using distill::MatrixView;
using distill::ProbabilisticTransfer;
using reference::Row;

std::vector<Row> probabilities(const std::vector<Row>& rows, const std::vector<long double>& weights) {
  std::vector<Row> result = support::gram(support::unit_rows(rows));
  for (Row& row : result) {
    long double sum = 0;
    for (std::size_t j = 0; j < row.size(); ++j) sum += weights[j] * (1 + row[j]) / 2;
    for (long double& x : row) x = (1 + x) / 2 / sum;
  }
  return result;
}

long double formula(const std::vector<Row>& student, const std::vector<Row>& teacher,
                    const std::vector<long double>& weights, distill::Reduction reduction) {
  const auto q = probabilities(student, weights), p = probabilities(teacher, weights);
  long double sum = 0;
  for (std::size_t i = 0; i < q.size(); ++i) {
    for (std::size_t j = 0; j < q.size(); ++j) {
      if (p[i][j] > 0) sum += weights[i] * weights[j] * p[i][j] * std::log(p[i][j] / q[i][j]);
    }
  }
  return sum / support::batch_divisor(weights, reduction, 2);
}

}  // namespace

TEST_CASE("ProbabilisticTransfer: value and gradient are the formula's, with every option") {
  auto loss = support::relation_loss("ProbabilisticTransfer", ProbabilisticTransfer{}, formula);
  loss.tolerance = 8;  // a KL of nearly equal probabilities is a small difference of cosines in float
  loss.single_sample_is_zero = true;
  loss.zero_sample_has_no_gradient = true;
  support::check_hidden_loss(loss);
}

TEST_CASE("ProbabilisticTransfer: value and gradient in a workspace of the caller's") {
  support::check_workspace(ProbabilisticTransfer{});
}

TEST_CASE("ProbabilisticTransfer: golden vectors, whose epsilon of 1e-7 ours leaves out") {
  support::check_golden_relation(
      "pkt.repdistiller", [](const auto&, std::size_t) { return ProbabilisticTransfer{}; }, tolerances::golden_pkt);
}

TEST_CASE("ProbabilisticTransfer: opposite samples") {
  const std::vector<double> student{1, 0, -2, 0, 3, 1}, teacher{0, 1, 2, 2, 1, 0};
  std::vector<double> grad(6, 42);
  const MatrixView s{student.data(), 3, 2}, t{teacher.data(), 3, 2};
  CHECK(std::isinf(ProbabilisticTransfer{}(s, t, MatrixView{grad.data(), 3, 2})));
  for (const double g : grad) CHECK(std::isfinite(g));
  CHECK(std::isfinite(ProbabilisticTransfer{}(t, s)));
  CHECK(ProbabilisticTransfer{}(s, s) == 0);
}

TEST_CASE("ProbabilisticTransfer: samples that are opposite to the last digit, and nearly so") {
  const std::vector<Row> teacher{{0, 1}, {2, 2}, {1, 0}};
  const std::vector<float> t{0, 1, 2, 2, 1, 0};
  const auto loss_of = [&](auto& numbers, auto& grad) {
    const MatrixView teacher_view{t.data(), 3, 2};
    return ProbabilisticTransfer{}(MatrixView{numbers.data(), 3, 2}, teacher_view, MatrixView{grad.data(), 3, 2});
  };
  for (const double scale : {-2.0, -3.0, -1.0 / 8, -7.0, -11.0}) {
    std::vector<float> student{0.5f, 2.75f, 0, 0, 3, 1}, grad(6, 42);
    for (std::size_t k = 0; k < 2; ++k) student[2 + k] = static_cast<float>(scale) * student[k];
    std::vector<double> exact(student.begin(), student.end()), exact_grad(6, 42);
    CHECK(std::isinf(loss_of(student, grad)));
    CHECK(std::isinf(loss_of(exact, exact_grad)));
    for (std::size_t k = 0; k < 6; ++k) CHECK(std::abs(exact_grad[k]) < 1);
    for (std::size_t k = 0; k < 6; ++k) CHECK(static_cast<double>(grad[k]) == doctest::Approx(exact_grad[k]));
  }
  for (const float gap : {0x1p-4f, 0x1p-8f, 0x1p-12f}) {
    CAPTURE(gap);
    std::vector<float> student{1, 0.5f, -2, -1 - gap, 3, -1}, grad(6, 42);
    std::vector<double> exact(student.begin(), student.end()), exact_grad(6, 42);
    const auto expected = [&](std::size_t k, long double step) {
      std::vector<Row> rows{{exact[0], exact[1]}, {exact[2], exact[3]}, {exact[4], exact[5]}};
      rows[k / 2][k % 2] += step;
      return formula(rows, teacher, {1, 1, 1}, distill::Reduction::per_element);
    };
    const double value = static_cast<double>(expected(0, 0));
    CHECK(loss_of(student, grad) == doctest::Approx(value).epsilon(1e-6));
    CHECK(loss_of(exact, exact_grad) == doctest::Approx(value).epsilon(1e-10));
    double largest = 0;
    for (const double g : exact_grad) largest = std::max(largest, std::abs(g));
    for (std::size_t k = 0; k < 6; ++k) {
      const long double step = 1e-4L * static_cast<long double>(gap);
      const double slope = static_cast<double>((expected(k, step) - expected(k, -step)) / (2 * step));
      CHECK(std::abs(exact_grad[k] - slope) < 1e-6 * largest);
      CHECK(std::abs(static_cast<double>(grad[k]) - slope) < 2e-6 * largest);
    }
  }
}

TEST_CASE_TEMPLATE("ProbabilisticTransfer: opposite samples, however wide they are", T, float, double) {
  for (const std::size_t cols : {5, 512, 1000, 4096}) {
    CAPTURE(cols);
    std::mt19937 engine(1);
    std::normal_distribution<T> normal;
    std::vector<T> student(4 * cols), teacher(4 * cols), grad(4 * cols);
    for (std::size_t k = 0; k < 4 * cols; ++k) {
      student[k] = k < cols ? T(0.1f) : k < 2 * cols ? -3 * T(0.1f) : normal(engine);
      teacher[k] = normal(engine);
    }
    CHECK(std::isinf(ProbabilisticTransfer{}(MatrixView{student.data(), 4, cols}, MatrixView{teacher.data(), 4, cols},
                                             MatrixView{grad.data(), 4, cols})));
    for (const T g : grad) REQUIRE(std::abs(g) < 1);
  }
}
