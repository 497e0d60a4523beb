#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <distill/relations/probabilistic_transfer.hpp>
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
  support::check_hidden_loss(loss);
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
