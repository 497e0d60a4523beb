#include <doctest/doctest.h>

#include <cstdint>
#include <distill/logits/cross_entropy.hpp>
#include <initializer_list>
#include <vector>

#include "support/data.hpp"
#include "support/gradient_check.hpp"
#include "support/loss_check.hpp"
#include "support/reference.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::CrossEntropy;
using distill::MatrixView;
using distill::Precision;
using distill::Reduction;
using distill::RowOptions;

template <class S>
void check(const CrossEntropy& ce, const support::Scores<S, S>& scores, support::Matrix<S> grad,
           const std::vector<float>& row_weights = {}) {
  support::Expected expected;
  for (std::size_t i = 0; i < scores.student.rows(); ++i) {
    expected.rows.push_back(reference::cross_entropy(scores.student.row(i), static_cast<std::size_t>(scores.labels[i]),
                                                     ce.label_smoothing));
  }
  grad.fill(123);  // is overwritten
  support::check_loss<distill::detail::compute_t<S>>(
      grad, expected, {ce.weight, ce.reduction, row_weights},
      [&](auto target, const RowOptions& options) { return ce(scores.student.view(), scores.labels, target, options); },
      [&](const RowOptions& options) { return ce(scores.student.view(), scores.labels, options); });
}

}  // namespace

TEST_CASE_TEMPLATE("CrossEntropy: value and gradient are the reference's", S, DISTILL_TEST_TYPES) {
  for (const std::size_t cols : support::column_counts) {
    for (const support::Kind kind : {support::Kind::random, support::Kind::wide}) {
      const support::Scores<S, S> scores(kind, 3, cols, static_cast<unsigned>(cols), cols % 3, cols % 2);
      for (const double smoothing : {0.0, 0.1, 1.0}) {
        for (const Precision precision : support::both_precisions) {
          CAPTURE(cols);
          CAPTURE(support::name(kind));
          CAPTURE(smoothing);
          CrossEntropy ce;
          ce.label_smoothing = smoothing;
          ce.precision = precision;
          check<S>(ce, scores, support::Matrix<S>(3, cols, cols + 5, 1));
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("CrossEntropy: a row of 262144 classes", S, DISTILL_TEST_TYPES) {
  const support::Scores<S, S> scores(support::Kind::random, 1, support::long_row);
  for (const double smoothing : {0.0, 0.1}) {
    CrossEntropy ce;
    ce.label_smoothing = smoothing;
    check<S>(ce, scores, support::Matrix<S>(1, support::long_row));
  }
}

TEST_CASE_TEMPLATE("CrossEntropy: every option", S, DISTILL_TEST_TYPES) {
  const support::Scores<S, S> scores(support::Kind::random, 5, 41, 3, 2, 1);
  for (const Reduction reduction : support::all_reductions) {
    for (const double weight : {1.0, 0.0, 2.5, -0.25}) {
      for (const double smoothing : {0.0, 0.3}) {
        CrossEntropy ce;
        ce.label_smoothing = smoothing;
        ce.weight = weight;
        ce.reduction = reduction;
        check<S>(ce, scores, support::Matrix<S>(5, 41, 43, 3));
        check<S>(ce, scores, support::Matrix<S>(5, 41, 43, 3), {0.5f, 0, 2, 0.25f, 1});
      }
    }
  }
}

TEST_CASE("CrossEntropy: rows of ignore_label count as of weight 0") {
  const support::Scores<float, float> scores(support::Kind::random, 4, 10);
  CrossEntropy ce;
  std::vector<std::int64_t> labels(scores.labels.begin(), scores.labels.end());
  for (const std::int64_t ignored : {std::int64_t{-100}, std::int64_t{-1}, std::int64_t{7}}) {
    ce.ignore_label = ignored;
    labels = {1, ignored, 2, ignored};
    support::Matrix<float> grad(4, 10), expected_grad(4, 10);
    std::vector<double> losses(4, -1);
    RowOptions options;
    options.losses = losses;
    const double loss = ce(scores.student.view(), labels, grad.view(), options);
    const std::vector<float> weights{1, 0, 1, 0};
    const std::vector<int> plain{1, 0, 2, 0};
    RowOptions weighted;
    weighted.weights = weights;
    CHECK(loss == ce(scores.student.view(), plain, expected_grad.view(), weighted));
    CHECK(grad.same_bits(expected_grad));
    CHECK(losses[1] == 0);
    CHECK(losses[3] == 0);
  }
}

TEST_CASE("CrossEntropy: the loss of a sure and right student keeps its digits") {
  for (const double margin : {5.0, 20.0, 40.0, 69.0}) {
    const std::vector<float> student{static_cast<float>(margin), 0, 1, -1};
    const long double others = (1 + std::exp(1.0L) + std::exp(-1.0L)) * std::exp(-static_cast<long double>(margin));
    const auto expected = static_cast<double>(std::log1p(others));
    std::vector<float> grad(4);
    const double loss =
        CrossEntropy{}(MatrixView{student.data(), 1, 4}, std::vector<int>{0}, MatrixView{grad.data(), 1, 4});
    CAPTURE(margin);
    CHECK(std::abs(loss - expected) <= 1e-6 * expected);
    CHECK(std::abs(static_cast<double>(grad[0]) + expected) <= 1e-6 * expected + expected * expected);
  }
}

TEST_CASE("CrossEntropy: the gradient is that of the value") {
  for (const support::Kind kind : {support::Kind::random, support::Kind::wide}) {
    for (const std::size_t cols : std::initializer_list<std::size_t>{2, 7, 41}) {
      for (const double smoothing : {0.0, 0.2, 1.0}) {
        const support::Scores<double, double> scores(kind, 1, cols, 9);
        CAPTURE(cols);
        CAPTURE(smoothing);
        CrossEntropy ce;
        ce.label_smoothing = smoothing;
        std::vector<double> grad(cols);
        ce(scores.student.view(), scores.labels, MatrixView{grad.data(), 1, cols});
        const auto value = [&](const reference::Row& student) {
          return reference::cross_entropy(student, static_cast<std::size_t>(scores.labels[0]), smoothing).loss;
        };
        support::check_gradient(value, scores.student.row(0), grad, tolerances::finite_difference);
      }
    }
  }
}
