// Losses on the geometry of a batch, for support::check_hidden_loss, and their golden vectors.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "support/golden.hpp"
#include "support/hidden_loss.hpp"
#include "support/reference_hidden.hpp"

namespace support {

/// The products of rows, in long double.
inline std::vector<reference::Row> gram(const std::vector<reference::Row>& rows) {
  std::vector<reference::Row> result(rows.size(), reference::Row(rows.size()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < rows.size(); ++j) result[i][j] = reference::dot(rows[i], rows[j]);
  }
  return result;
}

inline std::vector<reference::Row> unit_rows(std::vector<reference::Row> rows) {
  for (reference::Row& row : rows) {
    const long double length = std::sqrt(reference::dot(row, row));
    for (long double& x : row) x = length == 0 ? 0 : x / length;
  }
  return rows;
}

/// The divisor of a sum over groups of `group` samples.
inline long double batch_divisor(const std::vector<long double>& weights, distill::Reduction reduction, int group) {
  long double total = 0, divisor = 1;
  for (const long double w : weights) total += w;
  if (reduction == distill::Reduction::mean) return total;
  for (int k = 0; reduction == distill::Reduction::per_element && k < group; ++k) divisor *= total;
  return divisor;
}

/// A loss on student and teacher whose samples depend on one another.
template <class Loss>
HiddenLoss relation_loss(std::string name, const Loss& loss, HiddenFormula formula) {
  HiddenLoss result = hidden_loss_of<float, double>(
      std::move(name), loss,
      [](const auto& l, auto s, auto t, auto g, const auto& options) { return l(s, t, g, options); });
  result.student_size = 6;
  result.teacher_size = 9;
  result.formula = std::move(formula);
  result.poisons_batch = true;
  return result;
}

/// A scale-invariant loss is the same for large and for small numbers, which are not zeros; its gradient is that much
/// smaller or larger. `loss_of(student, teacher, grad)` is that of three rows of two numbers of S.
template <class S, class LossOf>
void check_any_scale(const LossOf& loss_of) {
  const std::vector<S> student{1, 2, 0, 3, -1, 2}, teacher{3, 1, 1, 0, 2, -1};
  std::vector<S> usual(6), grad(6);
  const double expected = loss_of(student, teacher, usual);
  const bool is_float = sizeof(S) == 4;
  for (const double scale : {is_float ? 1e-18 : 1e-140, 1e-12, 1e10, is_float ? 1e18 : 1e140}) {
    CAPTURE(scale);
    std::vector<S> scaled;
    for (const S x : student) scaled.push_back(static_cast<S>(scale) * x);
    CHECK(loss_of(scaled, teacher, grad) == doctest::Approx(expected).epsilon(1e-5));
    for (std::size_t k = 0; k < 6; ++k) {
      const double g = static_cast<double>(grad[k]) * scale;
      CHECK(std::abs(g - static_cast<double>(usual[k])) < 1e-6);
    }
    CHECK(loss_of(teacher, scaled, grad) == doctest::Approx(loss_of(teacher, student, usual)).epsilon(1e-5));
    for (std::size_t k = 0; k < 6; ++k) CHECK(std::abs(grad[k] - usual[k]) < S(1e-6));
    loss_of(student, teacher, usual);
  }
}

/// In the caller's workspace, at any address, value and gradient are the same, and scratch memory is not used.
template <class Loss>
void check_workspace(const Loss& loss) {
  const Scores<float, float> scores(Kind::random, 5, 6);
  const auto s = scores.student.view(), t = scores.teacher.view();
  Matrix<float> expected(5, 6), grad(5, 6);
  const std::vector<float> weights{1, 0, 2, 0.5f, 1};
  distill::RowOptions options;
  options.weights = weights;
  const double value = loss(s, t, expected.view(), options);
  const std::size_t bytes = Loss::workspace_size(s, t);
  for (const std::size_t offset : {0, 1, 40}) {
    std::vector<char> memory(offset + bytes + 1, 'x');
    distill::release_scratch();
    options.workspace = {memory.data() + offset, bytes};
    grad.fill(42);
    CHECK(loss(s, t, grad.view(), options) == value);
    CHECK(grad.same_bits(expected));
    CHECK(memory.back() == 'x');
    CHECK(distill::scratch_bytes() == 0);
  }
}

/// Calls the loss on each case of a golden file, the first dimension being the samples; `configure(params)` makes it.
template <class Configure>
void check_golden_relation(const std::string& name, const Configure& configure, double tolerance = tolerances::golden,
                           const char* student_name = "student", const char* teacher_name = "teacher") {
  for (const auto& golden : golden_cases(name)) {
    CAPTURE(name);
    CAPTURE(golden.at("name").get<std::string>());
    const auto as_rows = [&](const char* which) {
      const auto& array = golden.at("inputs").at(which);
      GoldenArray result(array);
      result.rows = array.at("shape").front().template get<std::size_t>();
      result.cols = result.data.size() / result.rows;
      return result;
    };
    const GoldenArray student = as_rows(student_name), teacher = as_rows(teacher_name);
    const auto loss = configure(golden.at("params"), student.rows);
    std::vector<double> grad(student.data.size(), 42);
    const double value = loss(distill::MatrixView{student.data.data(), student.rows, student.cols},
                              distill::MatrixView{teacher.data.data(), teacher.rows, teacher.cols},
                              distill::MatrixView{grad.data(), student.rows, student.cols});
    check_golden_loss(golden, value, tolerance);
    check_golden_gradient(golden, grad, tolerance, student_name);
  }
}

}  // namespace support
