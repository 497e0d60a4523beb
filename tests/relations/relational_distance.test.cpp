#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <distill/relations/relational_distance.hpp>
#include <string>
#include <vector>

#include "support/relation_loss.hpp"

namespace {

using distill::MatrixView;
using distill::RelationalDistance;
using reference::Row;

long double smooth_l1(long double x) {
  return std::abs(x) < 1 ? x * x / 2 : std::abs(x) - 0.5L;
}

/// In units of their mean.
std::vector<Row> distances(const RelationalDistance& loss, std::vector<Row> rows,
                           const std::vector<long double>& weights) {
  if (loss.normalize) rows = support::unit_rows(rows);
  std::vector<Row> result(rows.size(), Row(rows.size()));
  long double sum = 0, pairs = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < rows.size(); ++j) {
      long double squares = 0;
      for (std::size_t k = 0; k < rows[i].size(); ++k) squares += (rows[i][k] - rows[j][k]) * (rows[i][k] - rows[j][k]);
      result[i][j] = loss.squared ? squares : std::sqrt(squares);
      if (i == j) continue;
      sum += weights[i] * weights[j] * result[i][j];
      pairs += weights[i] * weights[j];
    }
  }
  for (Row& row : result) {
    for (long double& d : row) d = sum == 0 ? 0 : d * pairs / sum;
  }
  return result;
}

support::HiddenFormula formula_of(const RelationalDistance& loss) {
  return [=](const std::vector<Row>& student, const std::vector<Row>& teacher, const std::vector<long double>& weights,
             distill::Reduction reduction) {
    const auto d = distances(loss, student, weights), t = distances(loss, teacher, weights);
    long double sum = 0;
    for (std::size_t i = 0; i < d.size(); ++i) {
      for (std::size_t j = 0; j < d.size(); ++j) sum += weights[i] * weights[j] * smooth_l1(d[i][j] - t[i][j]);
    }
    return sum / support::batch_divisor(weights, reduction, 2);
  };
}

RelationalDistance weighted(double weight) {
  RelationalDistance loss;
  loss.weight = weight;
  return loss;
}

}  // namespace

TEST_CASE("RelationalDistance: value and gradient are the formula's, with every option") {
  for (const bool squared : {false, true}) {
    for (const bool normalize : {false, true}) {
      const RelationalDistance loss{.squared = squared, .normalize = normalize};
      auto hidden = support::relation_loss("RelationalDistance", loss, formula_of(loss));
      hidden.tolerance = 8;  // a distance is the root of a difference of products
      support::check_hidden_loss(hidden);
    }
  }
}

TEST_CASE("RelationalDistance: golden vectors") {
  const auto plain = [](const auto& params, std::size_t) { return weighted(params.at("w_d")); };
  support::check_golden_relation("rkd_distance.repdistiller", plain);
  support::check_golden_relation("rkd_distance_duplicates.repdistiller", plain, tolerances::golden_with_epsilon);
  support::check_golden_relation("rkd_distance_squared.mdistiller", [&](const auto& params, std::size_t rows) {
    RelationalDistance loss = plain(params, rows);
    loss.squared = true;
    return loss;
  });
  support::check_golden_relation("rkd_distance.mmrazor", [](const auto& params, std::size_t) {
    RelationalDistance loss = weighted(params.at("weight"));
    loss.normalize = params.at("l2_norm") == 1;
    return loss;
  });
}

TEST_CASE("RelationalDistance: samples that are near keep their digits, and equal ones give no gradient") {
  // in float, far from 0 and from the others: products alone would lose the distance
  for (const double gap : {1e-1, 1e-3, 1e-4}) {
    for (const bool normalize : {false, true}) {
      const std::vector<float> student{50, 60, 70, 50 + static_cast<float>(gap), 60, 70, 47, 61, 72, 55, 58, 66},
          teacher{1, 2, 0, 3, -1, 2, 1, 1, 4, 0, 2, 2};
      const std::vector<double> same(student.begin(), student.end()), teacher_double(teacher.begin(), teacher.end());
      std::vector<float> grad(12);
      std::vector<double> expected(12);
      const RelationalDistance loss{.normalize = normalize};
      const double value =
          loss(MatrixView{student.data(), 4, 3}, MatrixView{teacher.data(), 4, 3}, MatrixView{grad.data(), 4, 3});
      CHECK(value == doctest::Approx(loss(MatrixView{same.data(), 4, 3}, MatrixView{teacher_double.data(), 4, 3},
                                          MatrixView{expected.data(), 4, 3}))
                         .epsilon(1e-5));
      for (std::size_t k = 0; k < 12; ++k) CHECK(std::abs(static_cast<double>(grad[k]) - expected[k]) < 2e-5);
    }
  }
  const std::vector<float> all_equal(12, 0.1f), teacher{1, 2, 0, 3, -1, 2, 1, 1, 4, 0, 2, 2};
  std::vector<float> grad(12, 42);
  CHECK(std::isfinite(RelationalDistance{}(MatrixView{all_equal.data(), 4, 3}, MatrixView{teacher.data(), 4, 3},
                                           MatrixView{grad.data(), 4, 3})));
  for (const float g : grad) CHECK(g == 0);
}
