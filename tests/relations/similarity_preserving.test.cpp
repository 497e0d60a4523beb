#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <distill/relations/similarity_preserving.hpp>
#include <vector>

#include "support/relation_loss.hpp"

namespace {

using distill::MatrixView;
using distill::SimilarityPreserving;
using reference::Row;

/// The Gram matrix with rows of unit length.
std::vector<Row> similarities(const std::vector<Row>& rows, const std::vector<long double>& weights) {
  std::vector<Row> result = support::gram(rows);
  for (Row& row : result) {
    long double squares = 0;
    for (std::size_t j = 0; j < row.size(); ++j) squares += weights[j] * row[j] * row[j];
    for (long double& x : row) x = squares == 0 ? 0 : x / std::sqrt(squares);
  }
  return result;
}

long double formula(const std::vector<Row>& student, const std::vector<Row>& teacher,
                    const std::vector<long double>& weights, distill::Reduction reduction) {
  const auto s = similarities(student, weights), t = similarities(teacher, weights);
  long double sum = 0;
  for (std::size_t i = 0; i < s.size(); ++i) {
    for (std::size_t j = 0; j < s.size(); ++j)
      sum += weights[i] * weights[j] * (s[i][j] - t[i][j]) * (s[i][j] - t[i][j]);
  }
  return sum / support::batch_divisor(weights, reduction, 2);
}

}  // namespace

TEST_CASE("SimilarityPreserving: value and gradient are the formula's, with every option") {
  auto loss = support::relation_loss("SimilarityPreserving", SimilarityPreserving{}, formula);
  loss.single_sample_is_zero = true;
  loss.zero_sample_has_no_gradient = true;
  support::check_hidden_loss(loss);
}

TEST_CASE("SimilarityPreserving: value and gradient in a workspace of the caller's") {
  support::check_workspace(SimilarityPreserving{});
}

TEST_CASE("SimilarityPreserving: golden vectors") {
  support::check_golden_relation("sp.repdistiller", [](const auto&, std::size_t) { return SimilarityPreserving{}; });
}

TEST_CASE("SimilarityPreserving: a sample of weight 2 counts as two") {
  const std::vector<float> student{1, 2, 0, 3, -1, 2}, teacher{0, 1, 2, 2, 1, 0};
  const std::vector<float> twice_student{1, 2, 0, 3, 0, 3, -1, 2}, twice_teacher{0, 1, 2, 2, 2, 2, 1, 0};
  const std::vector<float> weights{1, 2, 1};
  distill::RowOptions options;
  options.weights = weights;
  CHECK(SimilarityPreserving{}(MatrixView{student.data(), 3, 2}, MatrixView{teacher.data(), 3, 2}, options) ==
        doctest::Approx(
            SimilarityPreserving{}(MatrixView{twice_student.data(), 4, 2}, MatrixView{twice_teacher.data(), 4, 2})));
}

TEST_CASE("SimilarityPreserving: more columns than fit into a panel") {
  const std::vector<double> student{1, 2, 0, 3, -1, 2}, teacher{0, 1, 2, 2, 1, 0};
  const std::size_t cols = 600;  // the two that are not 0 far apart
  std::vector<double> wide(3 * cols), wide_grad(3 * cols), grad(6);
  for (std::size_t i = 0; i < 3; ++i) {
    wide[i * cols] = student[2 * i];
    wide[i * cols + cols - 1] = student[2 * i + 1];
  }
  const MatrixView t{teacher.data(), 3, 2};
  const double expected = SimilarityPreserving{}(MatrixView{student.data(), 3, 2}, t, MatrixView{grad.data(), 3, 2});
  CHECK(SimilarityPreserving{}(MatrixView{wide.data(), 3, cols}, t, MatrixView{wide_grad.data(), 3, cols}) ==
        doctest::Approx(expected));
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(wide_grad[i * cols] == doctest::Approx(grad[2 * i]));
    CHECK(wide_grad[i * cols + cols - 1] == doctest::Approx(grad[2 * i + 1]));
    CHECK(wide_grad[i * cols + 300] == 0);
  }
}

TEST_CASE("SimilarityPreserving: two-byte numbers are computed in float") {
  const std::vector<float> numbers{1, 2, 0.5f, 3, -1, 2};
  std::vector<distill::bfloat16> student(6), grad(6);
  std::vector<float> teacher{3, 1, 1, 0, 2, -1}, float_grad(6);
  for (std::size_t k = 0; k < 6; ++k) distill::detail::store_scalar(&student[k], numbers[k]);
  const double value = SimilarityPreserving{}(MatrixView{student.data(), 3, 2}, MatrixView{teacher.data(), 3, 2},
                                              MatrixView{grad.data(), 3, 2});
  CHECK(value == SimilarityPreserving{}(MatrixView{numbers.data(), 3, 2}, MatrixView{teacher.data(), 3, 2},
                                        MatrixView{float_grad.data(), 3, 2}));
  for (std::size_t k = 0; k < 6; ++k) {
    distill::bfloat16 rounded;
    distill::detail::store_scalar(&rounded, float_grad[k]);
    CHECK(grad[k].bits == rounded.bits);
  }
}

TEST_CASE("SimilarityPreserving: a workspace that is too small") {
  const std::vector<float> numbers(6, 1);
  const MatrixView view{numbers.data(), 3, 2};
  const std::size_t bytes = SimilarityPreserving::workspace_size(view, view);
  std::vector<char> memory(bytes);
  distill::RowOptions options;
  options.workspace = {memory.data(), bytes - 1};
  support::check_throws([&] { SimilarityPreserving{}(view, view, options); },
                        {"SimilarityPreserving", "workspace has ", "expected at least "});
  options.workspace = {nullptr, bytes};
  support::check_throws([&] { SimilarityPreserving{}(view, view, options); },
                        {"SimilarityPreserving", "workspace is null, expected at least "});
}

TEST_CASE("SimilarityPreserving: a workspace that overlaps another argument") {
  const std::size_t bytes = SimilarityPreserving::workspace_size(MatrixView<const float>{nullptr, 3, 2},
                                                                 MatrixView<const float>{nullptr, 3, 2});
  std::vector<double> memory(bytes / sizeof(double) + 1, 0.25);
  const std::vector<double> kept = memory;
  double* const last = memory.data() + memory.size() - 1;
  std::vector<float> numbers(18, 1);
  const MatrixView a{numbers.data(), 3, 2}, b{numbers.data() + 6, 3, 2}, c{numbers.data() + 12, 3, 2};
  const auto within = [&](double* at) { return MatrixView{reinterpret_cast<float*>(at), 3, 2}; };
  const auto throws = [&](auto student, auto teacher, auto grad, distill::RowOptions options, const char* name) {
    options.workspace = {memory.data(), bytes};
    support::check_throws([&] { SimilarityPreserving{}(student, teacher, grad, options); },
                          {"SimilarityPreserving: workspace overlaps ", name, ", expected separate memory"});
    CHECK(memory == kept);
  };
  throws(within(memory.data()), b, c, {}, "student");
  throws(a, within(last - 3), c, {}, "teacher");
  throws(a, b, within(last - 3), {}, "grad");
  throws(a, b, c, {.weights = {reinterpret_cast<const float*>(memory.data()), 3}}, "weights");
  throws(a, b, c, {.losses = {last - 3, 3}}, "losses");
}

TEST_CASE("SimilarityPreserving: a sample of zeros has no gradient, the others do") {
  std::vector<double> student{1, 2, 0, 0, -1, 1}, teacher{0, 1, 2, 2, 1, 0}, grad(6, 42);
  const MatrixView t{teacher.data(), 3, 2};
  SimilarityPreserving{}(MatrixView{student.data(), 3, 2}, t, MatrixView{grad.data(), 3, 2});
  CHECK(grad[2] == 0);
  CHECK(grad[3] == 0);
  for (const std::size_t k : {0, 1, 4, 5}) {
    const auto at = [&](double step) {
      student[k] += step;
      const double value = SimilarityPreserving{}(MatrixView{student.data(), 3, 2}, t);
      student[k] -= step;
      return value;
    };
    CHECK(grad[k] == doctest::Approx((at(1e-5) - at(-1e-5)) / 2e-5).epsilon(1e-7));
  }
}

TEST_CASE_TEMPLATE("SimilarityPreserving: large and small numbers are no zeros", S, float, double) {
  support::check_any_scale<S>([](const std::vector<S>& student, const std::vector<S>& teacher, std::vector<S>& grad) {
    return SimilarityPreserving{}(MatrixView{student.data(), 3, 2}, MatrixView{teacher.data(), 3, 2},
                                  MatrixView{grad.data(), 3, 2});
  });
}

TEST_CASE("SimilarityPreserving: one sample has no loss and no gradient") {
  for (int k = 1; k < 30; ++k) {
    const std::vector<float> student{0.1f * static_cast<float>(k), 0.3f, 0.7f}, teacher{3, 2, 1};
    std::vector<float> grad(3, 42);
    CHECK(SimilarityPreserving{}(MatrixView{student.data(), 1, 3}, MatrixView{teacher.data(), 1, 3},
                                 MatrixView{grad.data(), 1, 3}) == 0);
    CHECK(grad == std::vector<float>(3, 0));
  }
}
