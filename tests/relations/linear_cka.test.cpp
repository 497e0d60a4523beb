#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <distill/relations/linear_cka.hpp>
#include <vector>

#include "support/relation_loss.hpp"

namespace {

using distill::LinearCka;
using distill::MatrixView;
using distill::Reduction;
using reference::Row;

std::vector<Row> centred(std::vector<Row> rows, const std::vector<long double>& weights) {
  long double total = 0;
  Row mean(rows[0].size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    total += weights[i];
    for (std::size_t j = 0; j < mean.size(); ++j) mean[j] += weights[i] * rows[i][j];
  }
  for (Row& row : rows) {
    for (std::size_t j = 0; j < mean.size(); ++j) row[j] -= mean[j] / total;
  }
  return rows;
}

long double formula(const std::vector<Row>& student, const std::vector<Row>& teacher,
                    const std::vector<long double>& weights, Reduction reduction) {
  const auto k = support::gram(centred(student, weights)), l = support::gram(centred(teacher, weights));
  long double kk = 0, ll = 0, kl = 0;
  for (std::size_t i = 0; i < k.size(); ++i) {
    for (std::size_t j = 0; j < k.size(); ++j) {
      const long double w = weights[i] * weights[j];
      kk += w * k[i][j] * k[i][j];
      ll += w * l[i][j] * l[i][j];
      kl += w * k[i][j] * l[i][j];
    }
  }
  const long double loss = kk == 0 || ll == 0 ? 1 : 1 - kl / std::sqrt(kk * ll);
  return reduction == Reduction::sum ? loss * support::batch_divisor(weights, Reduction::mean, 1) : loss;
}

}  // namespace

TEST_CASE("LinearCka: value and gradient are the formula's, with every option") {
  auto loss = support::relation_loss("LinearCka", LinearCka{}, formula);
  loss.tolerance = 4;  // a difference of two unit matrices, in float
  loss.single_sample_is_zero = true;
  loss.equal_samples_have_no_gradient = true;
  support::check_hidden_loss(loss);
}

TEST_CASE("LinearCka: value and gradient in a workspace of the caller's") {
  support::check_workspace(LinearCka{});
}

TEST_CASE("LinearCka: a student that is rotated, scaled and shifted is aligned") {
  const std::vector<double> teacher{1, 2, 0, 3, -1, 2, 4, 4};
  std::vector<double> student, grad(8);
  for (std::size_t i = 0; i < 4; ++i) {
    student.push_back(3 * teacher[2 * i + 1] + 100);
    student.push_back(-3 * teacher[2 * i] - 7);
  }
  const MatrixView s{student.data(), 4, 2};
  const MatrixView t{teacher.data(), 4, 2};
  CHECK(LinearCka{}(s, t, MatrixView{grad.data(), 4, 2}) < 1e-14);
  for (const double g : grad) CHECK(std::abs(g) < 1e-14);
}

TEST_CASE("LinearCka: a batch of equal samples is uncorrelated with all") {
  const std::vector<double> student{0.1, 0.3, 0.1, 0.3, 0.1, 0.3}, teacher{0, 1, 2, 2, 1, 0};
  std::vector<double> grad(6, 42);
  CHECK(LinearCka{}(MatrixView{student.data(), 3, 2}, MatrixView{teacher.data(), 3, 2},
                    MatrixView{grad.data(), 3, 2}) == 1);
  for (const double g : grad) CHECK(g == 0);
}
