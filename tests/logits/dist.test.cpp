#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/dist.hpp>
#include <random>
#include <vector>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

namespace {

using distill::Dist;

/// 1 - Pearson's correlation, with weights.
long double distance(const reference::Row& x, const reference::Row& y, const std::vector<long double>& weights) {
  long double sum = 0, x_mean = 0, y_mean = 0, xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += weights[i];
  for (std::size_t i = 0; i < x.size(); ++i) {
    x_mean += weights[i] / sum * x[i];
    y_mean += weights[i] / sum * y[i];
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += weights[i] * (x[i] - x_mean) * (x[i] - x_mean);
    yy += weights[i] * (y[i] - y_mean) * (y[i] - y_mean);
    xy += weights[i] * (x[i] - x_mean) * (y[i] - y_mean);
  }
  return xx < 1e-30L || yy < 1e-30L ? 1 : 1 - xy / std::sqrt(xx * yy);
}

}  // namespace

TEST_CASE("Dist: value and gradient are the formula's, with every option") {
  struct Weights {
    double beta, gamma;
  };
  for (const Weights w : {Weights{1, 1}, Weights{2, 0}, Weights{0, 0.5}}) {
    auto loss = support::score_loss(
        "Dist", Dist{.temperature = 2, .beta = w.beta, .gamma = w.gamma},
        [](const auto& l, auto s, auto t, auto, auto g, auto options) { return l(s, t, g, options); });
    loss.batch = [=](const auto& student, const auto& teacher, const std::vector<long double>& weights) {
      std::vector<reference::Row> q, p;
      for (const auto& row : student) q.push_back(reference::softmax(row, 2));
      for (const auto& row : teacher) p.push_back(reference::softmax(row, 2));
      long double sum = 0, between_rows = 0, between_classes = 0;
      const std::size_t rows = q.size(), cols = q[0].size();
      for (std::size_t i = 0; i < rows; ++i) {
        sum += weights[i];
        between_rows += weights[i] * distance(q[i], p[i], std::vector<long double>(cols, 1));
      }
      for (std::size_t j = 0; j < cols; ++j) {
        reference::Row q_class, p_class;
        for (std::size_t i = 0; i < rows; ++i) {
          q_class.push_back(q[i][j]);
          p_class.push_back(p[i][j]);
        }
        between_classes += distance(q_class, p_class, weights) / static_cast<long double>(cols);
      }
      return 4 * (w.beta * between_rows / sum + w.gamma * between_classes);
    };
    loss.value_unit = 8;
    loss.gradient_unit = 4;
    loss.step_scale = 2;
    loss.terms_are_rows = true;
    loss.tolerance = 16;  // the correlation of nearly constant probabilities is that of their rounding
    support::check_score_loss(loss);
  }
}

TEST_CASE("Dist: a row counts as often as it weighs") {
  const std::vector<double> student{1, 2, 0, 3, -1, 2, 0.5, 0, 1}, teacher{0, 1, 2, 2, 1, 0, 1, 0.25, -1};
  std::vector<double> twice_student(student), twice_teacher(teacher);
  twice_student.insert(twice_student.end(), student.begin() + 3, student.begin() + 6);
  twice_teacher.insert(twice_teacher.end(), teacher.begin() + 3, teacher.begin() + 6);
  const std::vector<float> weights{1, 2, 1};
  distill::RowOptions options;
  options.weights = weights;
  CHECK(Dist{}(distill::MatrixView{student.data(), 3, 3}, distill::MatrixView{teacher.data(), 3, 3}, options) ==
        doctest::Approx(
            Dist{}(distill::MatrixView{twice_student.data(), 4, 3}, distill::MatrixView{twice_teacher.data(), 4, 3}))
            .epsilon(1e-12));
}

TEST_CASE("the gradient is finite where probabilities of the student are next to nothing") {
  for (const std::size_t cols : {2, 33, 100}) {
    std::mt19937 engine(1);
    std::normal_distribution<float> normal(0, 80);
    std::vector<float> student(19 * cols), teacher(19 * cols), grad(19 * cols);
    for (std::size_t k = 0; k < student.size(); ++k) {
      student[k] = normal(engine);
      teacher[k] = normal(engine);
    }
    distill::Dist{}(distill::MatrixView{student.data(), 19, cols}, distill::MatrixView{teacher.data(), 19, cols},
                    distill::MatrixView{grad.data(), 19, cols});
    for (const float g : grad) REQUIRE(std::isfinite(g));
  }
}

// A mean's rounding error grows with the numbers added, and would be all that there is.
TEST_CASE_TEMPLATE("equal probabilities have no gradient, however many there are", Number, float, double) {
  const auto check = [](const Dist& loss, std::size_t rows, std::size_t cols, bool are_rows_equal) {
    CAPTURE(rows);
    CAPTURE(cols);
    std::mt19937 engine(1);
    std::uniform_real_distribution<Number> uniform(0, 3);
    std::vector<Number> row(cols, Number(0.3)), student, teacher(rows * cols), grad(rows * cols, Number(77));
    if (are_rows_equal) {
      for (Number& x : row) x = uniform(engine);
    }
    for (std::size_t i = 0; i < rows; ++i) student.insert(student.end(), row.begin(), row.end());
    for (Number& x : teacher) x = uniform(engine);
    CHECK(loss(distill::MatrixView{student.data(), rows, cols}, distill::MatrixView{teacher.data(), rows, cols},
               distill::MatrixView{grad.data(), rows, cols}) == doctest::Approx(static_cast<double>(rows)));
    for (const Number g : grad) REQUIRE(g == 0);
  };
  constexpr auto sum = distill::Reduction::sum;
  for (const std::size_t n : {3, 7, 100, 400, 1000, 10000}) {
    check(Dist{.beta = 0, .reduction = sum}, n, 6, true);
    check(Dist{.gamma = 0, .reduction = sum}, 2, n, false);
  }
}
