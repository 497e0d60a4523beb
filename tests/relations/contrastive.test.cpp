#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <distill/relations/contrastive.hpp>
#include <string>
#include <vector>

#include "support/relation_loss.hpp"

namespace {

using distill::Contrastive;
using distill::MatrixView;
using distill::Reduction;
using reference::Row;

support::HiddenFormula formula_of(const Contrastive& loss) {
  return [=](const std::vector<Row>& student, const std::vector<Row>& teacher, const std::vector<long double>& weights,
             Reduction reduction) {
    const auto s = loss.normalize ? support::unit_rows(student) : student;
    const auto t = loss.normalize ? support::unit_rows(teacher) : teacher;
    long double total = 0;
    for (std::size_t i = 0; i < s.size(); ++i) {
      long double sum = 0;
      const auto z = [&](std::size_t j) {
        return reference::dot(s[i], t[j]) / static_cast<long double>(loss.temperature);
      };
      for (std::size_t j = 0; j < s.size(); ++j) sum += std::exp(z(j) - z(i));
      total += weights[i] * std::log(sum);
    }
    return reduction == Reduction::sum ? total : total / support::batch_divisor(weights, Reduction::mean, 1);
  };
}

}  // namespace

TEST_CASE("Contrastive: value and gradient are the formula's, with every option") {
  for (const bool normalize : {true, false}) {
    const Contrastive loss{.temperature = normalize ? 0.2 : 4, .normalize = normalize};
    auto hidden = support::relation_loss("Contrastive", loss, formula_of(loss));
    hidden.teacher_size = hidden.student_size;
    hidden.tolerance = 4;  // products are rounded before they are divided by the temperature
    hidden.single_sample_is_zero = true;
    hidden.zero_sample_has_no_gradient = normalize;
    support::check_hidden_loss(hidden);
  }
}

TEST_CASE("Contrastive: value and gradient in a workspace of the caller's") {
  support::check_workspace(Contrastive{});
}

TEST_CASE("Contrastive: golden vectors of a batch's own negatives") {
  for (const auto& golden : support::golden_cases("infonce.automodel")) {
    if (golden.at("inputs").contains("hard_negatives")) continue;  // docs/coming-from.md
    CAPTURE(golden.at("name").get<std::string>());
    const bool to_documents = golden.at("params").at("direction") == "q2d";
    const char *student_name = to_documents ? "queries" : "documents",
               *teacher_name = to_documents ? "documents" : "queries";
    const support::GoldenArray student(golden.at("inputs").at(student_name));
    const support::GoldenArray teacher(golden.at("inputs").at(teacher_name));
    std::vector<double> grad(student.data.size());
    const Contrastive loss{.temperature = golden.at("params").at("temperature").get<double>()};
    const double value = loss(MatrixView{student.data.data(), student.rows, student.cols},
                              MatrixView{teacher.data.data(), teacher.rows, teacher.cols},
                              MatrixView{grad.data(), student.rows, student.cols});
    support::check_golden_loss(golden, value);
    support::check_golden_gradient(golden, grad, tolerances::golden, student_name);
  }
}

TEST_CASE("Contrastive: a sample that is told apart with certainty") {
  const std::vector<double> x{1, 0, 0, 1};
  std::vector<double> grad(4, 42);
  const MatrixView view{x.data(), 2, 2};
  const double loss = Contrastive{.temperature = 0.02}(view, view, MatrixView{grad.data(), 2, 2});
  CHECK(loss == doctest::Approx(std::exp(-50)).epsilon(1e-12));
  CHECK(Contrastive{}(MatrixView{x.data(), 1, 2}, MatrixView{x.data(), 1, 2}, MatrixView{grad.data(), 1, 2}) == 0);
  CHECK(grad[0] == 0);
}

TEST_CASE("Contrastive: mistakes") {
  const std::vector<double> x(12, 1);
  const MatrixView view{x.data(), 3, 2};
  support::check_throws([&] { Contrastive{.temperature = 0}(view, view); }, {"Contrastive", "temperature is 0"});
  support::check_throws([&] { Contrastive{}(view, MatrixView{x.data(), 3, 4}); }, {"Contrastive", "4 columns"});
}

TEST_CASE("Contrastive: rows of unit length from any numbers") {
  const std::vector<double> student{1, 2, 0, 3, -1, 2}, teacher{3, 1, 1, 0, 2, -1};
  const auto loss_of = [&](const std::vector<double>& rows, std::vector<double>& grad) {
    return Contrastive{}(MatrixView{rows.data(), 3, 2}, MatrixView{teacher.data(), 3, 2},
                         MatrixView{grad.data(), 3, 2});
  };
  std::vector<double> usual(6), grad(6);
  const double expected = loss_of(student, usual);
  for (const double scale : {1e-300, 1e-170, 1e155, 1e300}) {
    std::vector<double> scaled;
    for (const double x : student) scaled.push_back(scale * x);
    CHECK(loss_of(scaled, grad) == doctest::Approx(expected));
    for (std::size_t k = 0; k < 6; ++k) CHECK(std::abs(scale * grad[k] - usual[k]) < 1e-10);
  }
}

TEST_CASE("Contrastive: rows so small that their length has no inverse") {
  const std::vector<double> student{1e-310, 0, 1, 2, 0, 5e-324}, teacher{1, 2, 2e-310, 1, 0, -1};
  std::vector<double> grad(6);
  for (const double weight : {1.0, 1e3}) {
    CHECK(std::isfinite(Contrastive{.weight = weight}(
        MatrixView{student.data(), 3, 2}, MatrixView{teacher.data(), 3, 2}, MatrixView{grad.data(), 3, 2})));
    for (const double g : grad) CHECK(!std::isnan(g));  // it may be beyond the numbers
  }
}

TEST_CASE_TEMPLATE("Contrastive: a temperature that is next to 0", T, float, double) {
  const std::vector<T> student{1, 0, 1, 2, 0, 1}, teacher{1, 2, 0, 1, 1, 0};
  for (const double temperature : {1e-30, 1e-45, 1e-300, 1e-310}) {
    CAPTURE(temperature);
    std::vector<T> grad(6);
    const double loss = Contrastive{.temperature = temperature}(
        MatrixView{student.data(), 3, 2}, MatrixView{teacher.data(), 3, 2}, MatrixView{grad.data(), 3, 2});
    CHECK(loss >= 0.1 / temperature);  // +infinity at 1e-310
    for (const T g : grad) CHECK(std::isfinite(g));
  }
}
