#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/log_softmax.hpp>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "support/data.hpp"
#include "support/gradient_check.hpp"
#include "support/loss_check.hpp"
#include "support/reference.hpp"
#include "support/softmax_check.hpp"
#include "support/tolerances.hpp"

TEST_CASE_TEMPLATE("log_softmax: is the reference's, for every type in and out", Types, DISTILL_TEST_TYPE_PAIRS) {
  support::check_rows<Types>(
      [](const auto& x, auto out, double t, const distill::SoftmaxOptions& o) { distill::log_softmax(x, out, t, o); },
      reference::log_softmax);
}

TEST_CASE("log_softmax: all digits, whatever mass a class has, and beside masks") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  for (const double temperature : {1.3e-8, 0.05, 0.3, 1.0, 7.0}) {
    for (const float shift : {0.0f, -300.0f, 5000.0f}) {
      for (const double mass : {0.001, 0.3, 0.35, 0.4, 0.5, 0.55, 0.999999}) {
        const std::size_t cols = 143;
        std::vector<float> x(cols), out(cols);
        for (float& value : x) value = static_cast<float>(temperature) * 3 * normal(engine) + shift;
        x[7] = -infinity;
        x[142] = -3e38f;
        long double others = 0;
        for (std::size_t i = 0; i < cols; ++i) others += i == 77 ? 0 : std::exp((x[i] - shift) / temperature);
        x[77] = shift + static_cast<float>(temperature * std::log(others * mass / (1 - mass)));
        distill::log_softmax(distill::MatrixView{x.data(), 1, cols}, distill::MatrixView{out.data(), 1, cols},
                             temperature);
        const reference::Row expected = reference::log_softmax(reference::Row(x.begin(), x.end()), temperature);
        CAPTURE(temperature);
        CAPTURE(shift);
        CAPTURE(mass);
        for (std::size_t i = 0; i < cols; ++i) {
          CAPTURE(i);
          if (expected[i] < -3e38L) {
            CHECK(out[i] == (i == 7 || temperature < 1 ? -infinity : static_cast<float>(expected[i])));
          } else {
            const double error = std::abs(static_cast<double>(static_cast<long double>(out[i]) - expected[i]));
            CHECK(error <= tolerances::log_softmax_relative * static_cast<double>(std::abs(expected[i])));
          }
        }
      }
    }
  }
}

TEST_CASE("log_softmax: double keeps its digits far from 0") {
  std::vector<double> x(64), out(64);
  for (std::size_t i = 0; i < 64; ++i) x[i] = 1e10 + static_cast<double>(i % 2);
  distill::log_softmax(distill::MatrixView{x.data(), 1, 64}, distill::MatrixView{out.data(), 1, 64});
  const reference::Row expected = reference::log_softmax(reference::Row(x.begin(), x.end()), 1);
  for (std::size_t i = 0; i < 64; ++i) {
    CHECK(out[i] == doctest::Approx(static_cast<double>(expected[i])).epsilon(tolerances::double_softmax));
  }
}

TEST_CASE("log_softmax: a class of probability nearly 1 keeps its digits") {
  const std::pair<float, float> cases[] = {{5, 0}, {20, 0}, {40, 0}, {40, 0x1p22f}};  // the last one is no ordinary row
  for (const auto& [margin, shift] : cases) {
    const std::vector<float> x{shift, shift + margin, shift + 1, shift - 1};
    std::vector<float> out(4);
    distill::log_softmax(distill::MatrixView{x.data(), 1, 4}, distill::MatrixView{out.data(), 1, 4});
    const long double others = (1 + std::exp(1.0L) + std::exp(-1.0L)) * std::exp(-static_cast<long double>(margin));
    const auto expected = static_cast<double>(-std::log1p(others));
    CHECK(std::abs(static_cast<double>(out[1]) - expected) <= 1e-6 * std::abs(expected));
  }
}

TEST_CASE_TEMPLATE("log_softmax: in place", T, DISTILL_TEST_TYPES) {
  for (const std::size_t cols : support::column_counts) {
    support::Scores<T, T> scores(support::Kind::random, 3, cols, 1, 3, 1);
    support::Matrix<T> out = scores.student;
    distill::log_softmax(scores.student.view(), out.view(), 2.0);
    distill::log_softmax(scores.student.view(), scores.student.view(), 2.0);
    CHECK(scores.student.same_bits(out));
  }
}

TEST_CASE_TEMPLATE("log_softmax_backward: is the derivative of a dot product with log_softmax", Types,
                   DISTILL_TEST_TYPE_PAIRS) {
  support::check_backward<Types>(
      [](const auto& output, const auto& g, auto grad, double t) { distill::log_softmax_backward(output, g, grad, t); },
      [](const auto& x, auto out, double t) { distill::log_softmax(x, out, t); }, reference::log_softmax);
}

TEST_CASE("log_softmax_backward: sums to 0, adds, and works in place of either input") {
  const support::Scores<float, float> scores(support::Kind::random, 3, 41);
  support::Matrix<float> p(3, 41), grad(3, 41), sum(3, 41);
  distill::log_softmax(scores.student.view(), p.view());
  distill::log_softmax_backward(p.view(), scores.teacher.view(), grad.view());
  for (std::size_t i = 0; i < 3; ++i) {
    long double total = 0;
    for (const long double element : grad.row(i)) total += element;
    CHECK(std::abs(static_cast<double>(total)) <= tolerances::log_softmax_gradient_sum * tolerances::without_fma);
  }
  sum.fill(1);
  distill::log_softmax_backward(p.view(), scores.teacher.view(), distill::add_to(sum.view()));
  for (std::size_t j = 0; j < 41; ++j) CHECK(sum.at(1, j) == 1 + grad.at(1, j));
  support::Matrix<float> in_output = p, in_gradient = scores.teacher;
  distill::log_softmax_backward(in_output.view(), scores.teacher.view(), in_output.view());
  distill::log_softmax_backward(p.view(), in_gradient.view(), in_gradient.view());
  CHECK(in_output.same_bits(grad));
  CHECK(in_gradient.same_bits(grad));
}
