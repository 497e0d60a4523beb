#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <distill/relations/relational_distance.hpp>
#include <string>
#include <vector>

#include "support/relation_loss.hpp"
#include "support/threads.hpp"

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
      const long double squares = reference::squared_distance(rows[i], rows[j]);
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

/// Of weight 1, all samples alike, with the default divisor.
std::vector<Row> gradient_of(const RelationalDistance& loss, const std::vector<Row>& student,
                             const std::vector<Row>& teacher) {
  const std::size_t n = student.size();
  const std::vector<long double> weights(n, 1);
  const auto rows = loss.normalize ? support::unit_rows(student) : student;
  const auto d = distances(loss, student, weights), t = distances(loss, teacher, weights);
  const auto slope = [&](std::size_t i, std::size_t j) { return std::clamp(d[i][j] - t[i][j], -1.0L, 1.0L); };
  long double along = 0, mean = 0;  // of d in units of its mean, whose sum is n (n - 1)
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      along += slope(i, j) * d[i][j];
      const long double squares = reference::squared_distance(rows[i], rows[j]);
      mean += loss.squared ? squares : std::sqrt(squares);
    }
  }
  const long double pairs = static_cast<long double>(n * (n - 1)), divisor = static_cast<long double>(n * n);
  along /= pairs;
  mean /= pairs;
  std::vector<Row> gradient;
  for (std::size_t i = 0; i < n; ++i) {
    Row of_row(rows[i].size());
    for (std::size_t j = 0; j < n; ++j) {
      if (i == j || d[i][j] == 0) continue;
      const long double g = 2 * (slope(i, j) - along) / mean / divisor;
      const long double c = loss.squared ? 2 * g : g / (d[i][j] * mean);
      for (std::size_t k = 0; k < of_row.size(); ++k) of_row[k] += c * (rows[i][k] - rows[j][k]);
    }
    gradient.push_back(loss.normalize ? reference::through_unit(student[i], of_row) : of_row);
  }
  return gradient;
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
      hidden.single_sample_is_zero = true;
      hidden.zero_sample_has_no_gradient = normalize;
      hidden.equal_samples_have_no_gradient = true;
      support::check_hidden_loss(hidden);
    }
  }
}

TEST_CASE("RelationalDistance: value and gradient in a workspace of the caller's") {
  support::check_workspace(RelationalDistance{});
  support::check_workspace(RelationalDistance{.normalize = true});
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

TEST_CASE("RelationalDistance: near samples, in place, added to and by threads") {
  const std::size_t n = 130, cols = 300;  // two panels, blocks of rows for three threads
  support::Scores<float, float> scores(support::Kind::random, n, cols);
  for (std::size_t i = 1; i < n; i += 4) {  // near the row in front and, for the last of them, the first
    const std::size_t other = i + 4 < n ? i - 1 : 0;
    for (std::size_t j = 0; j < cols; ++j) {
      scores.student.at(i, j) = scores.student.at(other, j) * (1 + 1e-5f * static_cast<float>(j % 7));
    }
  }
  std::vector<Row> student, teacher;
  for (std::size_t i = 0; i < n; ++i) {
    student.push_back(scores.student.row(i));
    teacher.push_back(scores.teacher.row(i));
  }
  const support::Backwards backwards;
  const support::Threads threads{3};
  for (const bool squared : {false, true}) {
    for (const bool normalize : {false, true}) {
      CAPTURE(squared);
      CAPTURE(normalize);
      const RelationalDistance loss{.squared = squared, .normalize = normalize};
      support::Matrix<float> separate(n, cols);
      const double value = loss(scores.student.view(), scores.teacher.view(), separate.view());
      const auto expected = gradient_of(loss, student, teacher);
      long double largest = 0, error = 0;
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          largest = std::max(largest, std::abs(expected[i][j]));
          error = std::max(error, std::abs(expected[i][j] - support::number(separate.at(i, j))));
        }
      }
      CHECK(static_cast<double>(error / largest) < 8 * tolerances::family_gradient);
      for (const distill::Executor executor :
           {distill::Executor(), distill::Executor(backwards), distill::Executor(threads)}) {
        distill::RowOptions options;
        options.executor = executor;
        support::Matrix<float> in_place = scores.student, sum(n, cols);
        CHECK(loss(in_place.view(), scores.teacher.view(), in_place.view(), options) == value);
        CHECK(in_place.same_bits(separate));
        CHECK(loss(scores.student.view(), scores.teacher.view(), distill::add_to(sum.view()), options) == value);
        CHECK(sum.same_bits(separate));
      }
    }
  }
}
