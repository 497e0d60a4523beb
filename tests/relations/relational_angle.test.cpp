#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <distill/relations/relational_angle.hpp>
#include <distill/relations/relational_distance.hpp>
#include <string>
#include <vector>

#include "support/relation_loss.hpp"

namespace {

using distill::MatrixView;
using distill::RelationalAngle;
using distill::RelationalDistance;
using reference::Row;

long double smooth_l1(long double x) {
  return std::abs(x) < 1 ? x * x / 2 : std::abs(x) - 0.5L;
}

/// From row j to all others, of unit length.
std::vector<Row> directions(const std::vector<Row>& rows, std::size_t j) {
  std::vector<Row> result = rows;
  for (Row& row : result) {
    for (std::size_t k = 0; k < row.size(); ++k) row[k] -= rows[j][k];
  }
  return support::unit_rows(result);
}

support::HiddenFormula formula_of(const RelationalAngle& loss) {
  return [=](const std::vector<Row>& student, const std::vector<Row>& teacher, const std::vector<long double>& weights,
             distill::Reduction reduction) {
    const auto s = loss.normalize ? support::unit_rows(student) : student;
    const auto t = loss.normalize ? support::unit_rows(teacher) : teacher;
    long double sum = 0;
    for (std::size_t j = 0; j < s.size(); ++j) {
      const auto c = support::gram(directions(s, j)), d = support::gram(directions(t, j));
      for (std::size_t i = 0; i < s.size(); ++i) {
        for (std::size_t k = 0; k < s.size(); ++k) {
          sum += weights[i] * weights[j] * weights[k] * smooth_l1(c[i][k] - d[i][k]);
        }
      }
    }
    return sum / support::batch_divisor(weights, reduction, 3);
  };
}

/// Distances and angles together, as published code has them.
struct Relational {
  RelationalDistance distance;
  RelationalAngle angle;
  double operator()(MatrixView<const double> student, MatrixView<const double> teacher, MatrixView<double> grad) const {
    const double value = distance(student, teacher, grad);
    return value + angle(student, teacher, distill::add_to(grad));
  }
};

}  // namespace

TEST_CASE("RelationalAngle: value and gradient are the formula's, with every option") {
  for (const bool normalize : {false, true}) {
    const RelationalAngle loss{.normalize = normalize};
    auto hidden = support::relation_loss("RelationalAngle", loss, formula_of(loss));
    hidden.single_sample_is_zero = true;
    hidden.zero_sample_has_no_gradient = normalize;
    hidden.equal_samples_have_no_gradient = true;
    support::check_hidden_loss(hidden);
  }
}

TEST_CASE("RelationalAngle: value and gradient in a workspace of the caller's") {
  support::check_workspace(RelationalAngle{});
  support::check_workspace(RelationalAngle{.normalize = true});
}

TEST_CASE("RelationalAngle: golden vectors, also with the distances") {
  support::check_golden_relation("rkd_angle.repdistiller", [](const auto& params, std::size_t) {
    return RelationalAngle{.weight = params.at("w_a").template get<double>()};
  });
  support::check_golden_relation("rkd_angle.mmrazor", [](const auto& params, std::size_t) {
    return RelationalAngle{.normalize = params.at("l2_norm") == 1,
                           .weight = params.at("weight").template get<double>()};
  });
  const auto both = [](const auto& params, std::size_t) {
    Relational loss;
    loss.distance.weight = params.at("w_d");
    loss.angle.weight = params.at("w_a");
    if (params.contains("reduction") && params.at("reduction") == "sum") {
      loss.distance.reduction = loss.angle.reduction = distill::Reduction::sum;
    }
    return loss;
  };
  support::check_golden_relation("rkd.repdistiller", both);
  support::check_golden_relation("rkd.torchdistill", both);
}

TEST_CASE("RelationalAngle: the angles between all samples are never stored") {
  const std::size_t samples = 64, cols = 8;
  std::vector<float> student(samples * cols);
  for (std::size_t k = 0; k < student.size(); ++k) student[k] = static_cast<float>((k * k) % 101);
  const MatrixView view{student.data(), samples, cols};
  const std::size_t bytes = RelationalAngle::workspace_size(view, view);
  CHECK(bytes < 8 * samples * samples * sizeof(double));
  distill::release_scratch();
  std::vector<float> grad(student.size());
  RelationalAngle{}(view, view, MatrixView{grad.data(), samples, cols});
  CHECK(distill::scratch_bytes() <= bytes);
}

TEST_CASE("RelationalAngle: samples that are near keep their digits") {
  const std::size_t n = 8, cols = 32;
  const std::vector<long double> ones(n, 1);
  for (const double gap : {1e-2, 1e-4, 1e-6, 3e-7, 1e-7}) {
    CAPTURE(gap);
    support::Scores<float, float> scores(support::Kind::random, n, cols, 3), noise(support::Kind::random, n, cols, 4);
    for (const std::size_t i : {3, 5}) {
      for (std::size_t j = 0; j < cols; ++j) {
        const double x = static_cast<double>(scores.student.at(0, j)), e = static_cast<double>(noise.student.at(i, j));
        scores.student.set(i, j, x * (1 + gap * e));
      }
    }
    std::vector<Row> student, teacher;
    for (std::size_t i = 0; i < n; ++i) {
      student.push_back(scores.student.row(i));
      teacher.push_back(scores.teacher.row(i));
    }
    for (const bool normalize : {false, true}) {
      CAPTURE(normalize);
      const RelationalAngle loss{.normalize = normalize};
      const auto formula = [&] { return formula_of(loss)(student, teacher, ones, distill::Reduction::per_element); };
      support::Matrix<float> grad(n, cols);
      const double value = loss(scores.student.view(), scores.teacher.view(), grad.view());
      CHECK(value == doctest::Approx(static_cast<double>(formula())).epsilon(1e-9));
      long double largest = 0, error = 0;
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          const long double kept = student[i][j], step = 1e-10L;
          student[i][j] = kept + step;
          const long double above = formula();
          student[i][j] = kept - step;
          const long double expected = (above - formula()) / (2 * step);
          student[i][j] = kept;
          largest = std::max(largest, std::abs(expected));
          error = std::max(error, std::abs(expected - support::number(grad.at(i, j))));
        }
      }
      CHECK(static_cast<double>(error / largest) < 1e-6);
    }
  }
}
