#include <doctest/doctest.h>
#include <distill/features/projected.hpp>
#include <distill/logits/kl_divergence.hpp>

#include <array>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <vector>

#include "support/data.hpp"
#include "support/gradient_check.hpp"
#include "support/guarded.hpp"
#include "support/loss_check.hpp"
#include "support/reference_hidden.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::add_to;
using distill::FeatureMatching;
using distill::linear_projection;
using distill::MatrixView;
using distill::Projected;
using distill::RowOptions;

/// Every number of a problem, in the order student, weights, bias.
template <class S, class W, class T>
struct Problem {
  support::Matrix<S> student;
  support::Matrix<W> weights, bias;
  support::Matrix<T> teacher;
  std::vector<float> row_weights;

  Problem(std::size_t rows, std::size_t inputs, std::size_t outputs, std::vector<float> w = {})
      : student(support::Scores<S, S>(support::Kind::random, rows, inputs, 1, 3, 1).student),
        weights(support::Scores<W, W>(support::Kind::random, outputs, inputs, 2, 2, 1).student),
        bias(support::Scores<W, W>(support::Kind::random, 1, outputs, 3).student),
        teacher(support::Scores<T, T>(support::Kind::random, rows, outputs, 4, 1, 2).teacher),
        row_weights(w) {}

  auto projection() const { return linear_projection(weights.view(), bias.view()); }
  RowOptions options() const {
    RowOptions result;
    if (!row_weights.empty()) result.weights = row_weights;
    return result;
  }
};

/// The summed loss of a naive projection. `x` holds student, weights and bias one after another.
template <class Problem>
long double reference_loss(const FeatureMatching& loss, const Problem& problem, const reference::Row& x) {
  const std::size_t rows = problem.student.rows(), inputs = problem.student.cols(), outputs = problem.teacher.cols();
  long double total = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    reference::Row projected;
    for (std::size_t k = 0; k < outputs; ++k) {
      long double sum = x[rows * inputs + outputs * inputs + k];
      for (std::size_t j = 0; j < inputs; ++j) sum += x[i * inputs + j] * x[rows * inputs + k * inputs + j];
      projected.push_back(sum);
    }
    const long double weight = problem.row_weights.empty() ? 1 : static_cast<long double>(problem.row_weights[i]);
    if (weight != 0) total += weight * reference::feature_matching(loss, projected, problem.teacher.row(i)).loss;
  }
  return total;
}

template <class T>
void append(reference::Row& all, const support::Matrix<T>& m) {
  for (std::size_t i = 0; i < m.rows(); ++i) {
    for (const long double element : m.row(i)) all.push_back(element);
  }
}

/// Value and all gradients against central differences of the reference, to `tolerance` times the largest entry.
template <class Problem, class S, class W>
void check(Problem& problem, FeatureMatching matching, double tolerance, const S&, const W&) {
  matching.reduction = distill::Reduction::sum;
  const Projected<FeatureMatching> loss{matching};
  const std::size_t rows = problem.student.rows(), inputs = problem.student.cols(), outputs = problem.teacher.cols();
  support::Matrix<S> grad(rows, inputs, inputs + 2, 1);
  support::Matrix<W> grad_weights(outputs, inputs, inputs + 1, 3), grad_bias(1, outputs);
  grad.fill(1);
  grad_weights.fill(1);
  grad_bias.fill(1);
  const double value = loss(problem.student.view(), problem.projection(), problem.teacher.view(), grad.view(),
                            linear_projection(grad_weights.view(), grad_bias.view()), problem.options());
  reference::Row x, gradient;
  append(x, problem.student);
  append(x, problem.weights);
  append(x, problem.bias);
  append(gradient, grad);
  append(gradient, grad_weights);
  append(gradient, grad_bias);
  const auto f = [&](const reference::Row& at) { return reference_loss(matching, problem, at); };
  CHECK(std::abs(value - static_cast<double>(f(x))) <= tolerance * value);
  CHECK(loss(problem.student.view(), problem.projection(), problem.teacher.view(), problem.options()) == value);
  support::check_gradient(f, x, gradient, static_cast<long double>(tolerance));
  CHECK(grad.guards_are_whole());
  CHECK(grad_weights.guards_are_whole());
  CHECK(grad_bias.guards_are_whole());

  // added to what was there: the student's only, then the parameters' only
  const auto run = [&](auto g, auto p) {
    loss(problem.student.view(), problem.projection(), problem.teacher.view(), g, p, problem.options());
  };
  support::Matrix<S> grad_sum = grad;
  support::Matrix<W> weights_sum = grad_weights, bias_sum = grad_bias;
  run(add_to(grad_sum.view()), linear_projection(grad_weights.view(), grad_bias.view()));
  run(grad.view(), add_to(linear_projection(weights_sum.view(), bias_sum.view())));
  const auto check_doubled = [&](const auto& sum, const auto& one) {
    for (std::size_t i = 0; i < one.rows(); ++i) {
      for (std::size_t j = 0; j < one.cols(); ++j) {
        CHECK(static_cast<double>(support::number(sum.at(i, j))) ==
              doctest::Approx(2 * static_cast<double>(support::number(one.at(i, j)))).epsilon(tolerance));
      }
    }
  };
  check_doubled(grad_sum, grad);
  check_doubled(weights_sum, grad_weights);
  check_doubled(bias_sum, grad_bias);

  // in place
  support::Matrix<S> in_place = problem.student;
  loss(in_place.view(), problem.projection(), problem.teacher.view(), in_place.view(),
       linear_projection(grad_weights.view(), grad_bias.view()), problem.options());
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < inputs; ++j) {
      CHECK(std::abs(static_cast<double>(support::number(in_place.at(i, j)) - support::number(grad.at(i, j)))) <=
            tolerance);  // the last digits of Eigen's products depend on how memory lies
    }
  }
}

}  // namespace

TEST_CASE("Projected: value and all gradients, double") {
  for (const auto& [rows, inputs, outputs] :
       std::initializer_list<std::array<std::size_t, 3>>{{1, 1, 1}, {5, 3, 8}, {4, 9, 2}}) {
    for (const distill::FeatureDistance distance :
         {distill::FeatureDistance::squared, distill::FeatureDistance::cosine}) {
      if (outputs == 1 && distance == distill::FeatureDistance::cosine) continue;
      Problem<double, double, double> problem(rows, inputs, outputs);
      FeatureMatching matching;
      matching.distance = distance;
      check(problem, matching, tolerances::finite_difference, double{}, double{});
    }
  }
  Problem<double, double, double> weighted(5, 3, 4, {0, 1, 2, 0, 0.5f});
  check(weighted, {}, tolerances::finite_difference, double{}, double{});
}

TEST_CASE("Projected: float, and two-byte features with float weights") {
  Problem<float, float, float> plain(4, 3, 5, {1, 0, 1, 1});
  check(plain, {}, tolerances::projected_float, float{}, float{});
  Problem<distill::bfloat16, float, distill::half> mixed(4, 3, 5, {1, 0, 1, 1});
  check(mixed, {}, tolerances::projected_bfloat16, distill::bfloat16{}, float{});
}

TEST_CASE("Projected: without a bias, from Eigen's matrices") {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Matrix student = Matrix::Random(6, 3), weights = Matrix::Random(4, 3), teacher = Matrix::Random(6, 4);
  const Eigen::VectorXd bias = Eigen::VectorXd::Zero(4);
  Matrix grad(6, 3), grad_weights(4, 3), expected(6, 3), expected_weights(4, 3);
  Eigen::VectorXd grad_bias(4);
  const Projected hint{FeatureMatching{}};
  const double with_bias = hint(student, linear_projection(weights, bias), teacher, expected,
                                linear_projection(expected_weights, grad_bias));
  const double without = hint(student, linear_projection(weights), teacher, grad, linear_projection(grad_weights));
  CHECK(with_bias == without);
  CHECK(grad == expected);
  CHECK(grad_weights == expected_weights);
  CHECK(without == doctest::Approx((student * weights.transpose() - teacher).squaredNorm() / 24));
}

TEST_CASE("Projected: any loss of student and teacher goes behind it") {
  Problem<double, double, double> problem(4, 3, 5);
  support::Matrix<double> logits(4, 5);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t k = 0; k < 5; ++k) {
      long double sum = problem.bias.at(0, k);
      for (std::size_t j = 0; j < 3; ++j) sum += problem.student.at(i, j) * problem.weights.at(k, j);
      logits.set(i, k, static_cast<double>(sum));
    }
  }
  const distill::KlDivergence kl;
  CHECK(Projected<distill::KlDivergence>{kl}(problem.student.view(), problem.projection(), problem.teacher.view()) ==
        doctest::Approx(kl(logits.view(), problem.teacher.view())).epsilon(tolerances::golden));
}

TEST_CASE("Projected: an ignored row is never read, and its gradient is 0") {
  support::Pages student(3), teacher(3);
  const std::size_t stride = student.page_size() / sizeof(float);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      student.at<float>(i)[j] = static_cast<float>(i + j);
      teacher.at<float>(i)[j] = static_cast<float>(j);
    }
  }
  student.close(1);
  teacher.close(1);
  std::vector<float> weights(16, 0.5f), grad(12, 42), grad_weights(16), row_weights{1, 0, 1};
  RowOptions options;
  options.weights = row_weights;
  const Projected<FeatureMatching> loss{};
  CHECK(std::isfinite(loss(MatrixView{student.at<float>(0), 3, 4, stride},
                           linear_projection(MatrixView{weights.data(), 4, 4}),
                           MatrixView{teacher.at<float>(0), 3, 4, stride}, MatrixView{grad.data(), 3, 4},
                           linear_projection(MatrixView{grad_weights.data(), 4, 4}), options)));
  for (std::size_t j = 0; j < 4; ++j) CHECK(grad[4 + j] == 0);
  for (const float g : grad_weights) CHECK(std::isfinite(g));
}

TEST_CASE("Projected: no rows, or none that count") {
  Problem<float, float, float> problem(2, 3, 4, {0, 0});
  support::Matrix<float> grad(2, 3), grad_weights(4, 3), grad_bias(1, 4);
  const Projected<FeatureMatching> loss{};
  for (const std::size_t rows : {std::size_t{2}, std::size_t{0}}) {
    grad.fill(1);
    grad_weights.fill(1);
    grad_bias.fill(1);
    CHECK(loss(MatrixView{problem.student.view().data, rows, 3}, problem.projection(),
               MatrixView{problem.teacher.view().data, rows, 4}, MatrixView{grad.view().data, rows, 3},
               linear_projection(grad_weights.view(), grad_bias.view()),
               {.weights = {problem.row_weights.data(), rows}}) == 0);
    CHECK(grad_weights.row(2) == reference::Row(3));
    CHECK(grad_bias.row(0) == reference::Row(4));
  }
}

TEST_CASE("Projected: a row with NaN has a gradient of NaN, the others are right") {
  Problem<float, float, float> problem(3, 4, 5);
  support::Matrix<float> grad(3, 4), poisoned(3, 4), grad_weights(5, 4), grad_bias(1, 5);
  const auto call = [&](support::Matrix<float>& g) {
    return Projected<FeatureMatching>{}(problem.student.view(), problem.projection(), problem.teacher.view(), g.view(),
                                        linear_projection(grad_weights.view(), grad_bias.view()));
  };
  call(grad);
  problem.student.set(1, 2, std::numeric_limits<double>::quiet_NaN());
  CHECK(std::isnan(call(poisoned)));
  CHECK(poisoned.row(0) == grad.row(0));
  CHECK(poisoned.row(2) == grad.row(2));
  for (const long double g : poisoned.row(1)) CHECK(std::isnan(g));
  CHECK(std::isnan(grad_weights.at(0, 0)));
}

TEST_CASE("Projected: what does not fit throws before anything is written") {
  Problem<float, float, float> p(2, 3, 4);
  support::Matrix<float> grad(2, 3), grad_weights(4, 3), grad_bias(1, 4);
  grad.fill(42);
  grad_weights.fill(42);
  grad_bias.fill(42);
  const support::Matrix<float> grad_before = grad, weights_before = grad_weights, bias_before = grad_bias;
  const Projected<FeatureMatching> loss{};
  const auto gradients = linear_projection(grad_weights.view(), grad_bias.view());
  const auto throws = [&](const auto& f, const char* message) { support::check_throws(f, {"Projected: ", message}); };
  support::Matrix<float> wide(2, 5), tall(3, 4), square(4, 4);
  throws(
      [&] {
        loss(p.student.view(), linear_projection(square.view(), p.bias.view()), p.teacher.view(), grad.view(),
             gradients);
      },
      "weights is 4 x 4, expected 4 x 3");
  throws(
      [&] {
        loss(p.student.view(), linear_projection(p.weights.view(), wide.view()), p.teacher.view(), grad.view(),
             gradients);
      },
      "bias is 2 x 5, expected 1 x 4");
  throws([&] { loss(p.student.view(), p.projection(), tall.view(), grad.view(), gradients); },
         "teacher has 3 rows, student has 2");
  throws([&] { loss(p.student.view(), p.projection(), p.teacher.view(), wide.view(), gradients); },
         "grad has 5 columns, student has 3");
  throws(
      [&] {
        loss(p.student.view(), p.projection(), p.teacher.view(), grad.view(),
             linear_projection(square.view(), grad_bias.view()));
      },
      "grad_weights is 4 x 4, expected 4 x 3");
  throws(
      [&] {
        loss(p.student.view(), p.projection(), p.teacher.view(), grad.view(), linear_projection(grad_weights.view()));
      },
      "grad_bias has 0 rows, bias has 1");
  throws(
      [&] {
        loss(p.student.view(), p.projection(), p.teacher.view(), grad.view(),
             linear_projection(p.weights.view(), grad_bias.view()));
      },
      "grad_weights overlaps weights");
  throws(
      [&] {
        loss(p.student.view(), p.projection(), p.teacher.view(), grad.view(),
             linear_projection(grad_weights.view(), MatrixView{grad_weights.view().data, 1, 4}));
      },
      "grad_weights overlaps grad_bias");
  throws(
      [&] {
        loss(p.student.view(), p.projection(), p.teacher.view(), MatrixView{p.weights.view().data, 2, 3}, gradients);
      },
      "grad overlaps weights");
  const std::vector<float> negative{1, -1};
  RowOptions options;
  options.weights = negative;
  throws([&] { loss(p.student.view(), p.projection(), p.teacher.view(), grad.view(), gradients, options); },
         "weights[1] is -1, expected a finite number of at least 0");
  Projected<FeatureMatching> bad{};
  bad.loss.delta = -1;
  support::check_throws([&] { bad(p.student.view(), p.projection(), p.teacher.view(), grad.view(), gradients); },
                        {"FeatureMatching: delta is -1"});
  CHECK(grad.same_bits(grad_before));
  CHECK(grad_weights.same_bits(weights_before));
  CHECK(grad_bias.same_bits(bias_before));
}
