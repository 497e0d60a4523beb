#include <doctest/doctest.h>

#include <distill/logits/softmax.hpp>
#include <random>
#include <vector>

#include "support/data.hpp"
#include "support/gradient_check.hpp"
#include "support/loss_check.hpp"
#include "support/reference.hpp"
#include "support/softmax_check.hpp"
#include "support/tolerances.hpp"

TEST_CASE_TEMPLATE("softmax: is the reference's, for every type in and out", Types, DISTILL_TEST_TYPE_PAIRS) {
  support::check_rows<Types>(
      [](const auto& x, auto out, double t, const distill::SoftmaxOptions& o) { distill::softmax(x, out, t, o); },
      reference::softmax);
}

TEST_CASE_TEMPLATE("softmax: rows sum to 1", T, float, double) {
  for (const std::size_t cols : {std::size_t{1}, std::size_t{7}, std::size_t{1271}, support::long_row}) {
    for (const double temperature : support::temperatures) {
      const support::Scores<T, T> scores(support::Kind::random, 1, cols);
      support::Matrix<T> out(1, cols);
      distill::softmax(scores.student.view(), out.view(), temperature);
      long double sum = 0;
      for (const long double p : out.row(0)) sum += p;
      CHECK(std::abs(static_cast<double>(sum - 1)) <= tolerances::Tolerance<T>::row_sum);
    }
  }
}

TEST_CASE_TEMPLATE("softmax: in place", T, DISTILL_TEST_TYPES) {
  for (const std::size_t cols : support::column_counts) {
    support::Scores<T, T> scores(support::Kind::random, 3, cols, 1, 3, 1);
    support::Matrix<T> out = scores.student;
    distill::softmax(scores.student.view(), out.view(), 2.0);
    distill::softmax(scores.student.view(), scores.student.view(), 2.0);
    CHECK(scores.student.same_bits(out));
  }
}

TEST_CASE_TEMPLATE("softmax_backward: is the derivative of a dot product with softmax", Types,
                   DISTILL_TEST_TYPE_PAIRS) {
  support::check_backward<Types>(
      [](const auto& output, const auto& g, auto grad, double t) { distill::softmax_backward(output, g, grad, t); },
      [](const auto& x, auto out, double t) { distill::softmax(x, out, t); }, reference::softmax);
}

TEST_CASE("softmax_backward: sums to 0, adds, and works in place of either input") {
  const support::Scores<float, float> scores(support::Kind::random, 3, 41);
  support::Matrix<float> p(3, 41), grad(3, 41), sum(3, 41);
  distill::softmax(scores.student.view(), p.view());
  distill::softmax_backward(p.view(), scores.teacher.view(), grad.view());
  for (std::size_t i = 0; i < 3; ++i) {
    long double total = 0;
    for (const long double element : grad.row(i)) total += element;
    CHECK(std::abs(static_cast<double>(total)) <= 1e-6);
  }
  sum.fill(1);
  distill::softmax_backward(p.view(), scores.teacher.view(), distill::add_to(sum.view()));
  for (std::size_t j = 0; j < 41; ++j) CHECK(sum.at(1, j) == 1 + grad.at(1, j));
  support::Matrix<float> in_output = p, in_gradient = scores.teacher;
  distill::softmax_backward(in_output.view(), scores.teacher.view(), in_output.view());
  distill::softmax_backward(p.view(), in_gradient.view(), in_gradient.view());
  CHECK(in_output.same_bits(grad));
  CHECK(in_gradient.same_bits(grad));
}
