#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <distill/logits/cross_entropy.hpp>
#include <distill/logits/kl_divergence.hpp>
#include <distill/logits/knowledge_distillation.hpp>
#include <initializer_list>
#include <vector>

#include "support/data.hpp"
#include "support/gradient_check.hpp"
#include "support/loss_check.hpp"
#include "support/reference.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::KnowledgeDistillation;
using distill::MatrixView;
using distill::Precision;
using distill::Reduction;
using distill::RowOptions;

template <class Types>
void check(const KnowledgeDistillation& kd,
           const support::Scores<typename Types::Student, typename Types::Teacher>& scores,
           support::Matrix<typename Types::Student> grad, const std::vector<float>& row_weights = {}) {
  support::Expected expected;
  for (std::size_t i = 0; i < scores.student.rows(); ++i) {
    expected.rows.push_back(reference::knowledge_distillation(scores.student.row(i), scores.teacher.row(i),
                                                              static_cast<std::size_t>(scores.labels[i]),
                                                              kd.temperature, kd.alpha));
  }
  expected.value_unit = kd.alpha * kd.temperature * kd.temperature + (1 - kd.alpha);
  expected.gradient_unit = kd.alpha * kd.temperature + (1 - kd.alpha);
  grad.fill(123);  // is overwritten
  support::check_loss<typename Types::Compute>(
      grad, expected, {kd.weight, kd.reduction, row_weights},
      [&](auto target, const RowOptions& options) {
        return kd(scores.student.view(), scores.teacher.view(), scores.labels, target, options);
      },
      [&](const RowOptions& options) {
        return kd(scores.student.view(), scores.teacher.view(), scores.labels, options);
      });
}

}  // namespace

TEST_CASE_TEMPLATE("KnowledgeDistillation: value and gradient are the reference's", Types, DISTILL_TEST_TYPE_PAIRS) {
  using S = typename Types::Student;
  using T = typename Types::Teacher;
  for (const std::size_t cols : support::column_counts) {
    for (const support::Kind kind : support::all_kinds) {
      const support::Scores<S, T> scores(kind, cols > 1000 ? 1 : 3, cols, static_cast<unsigned>(cols), cols % 3,
                                         cols % 2);
      const support::Matrix<S> grad(scores.student.rows(), cols, cols + 5, 1);
      for (const double temperature : support::temperatures) {
        for (const Precision precision : support::both_precisions) {
          CAPTURE(cols);
          CAPTURE(support::name(kind));
          CAPTURE(temperature);
          CAPTURE(precision == Precision::high);
          KnowledgeDistillation kd;
          kd.temperature = temperature;
          kd.alpha = 0.7;
          kd.precision = precision;
          check<Types>(kd, scores, grad);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("KnowledgeDistillation: a row of 262144 classes", Types, support::float_float,
                   support::double_double, support::half_bfloat16) {
  const support::Scores<typename Types::Student, typename Types::Teacher> scores(support::Kind::random, 1,
                                                                                 support::long_row);
  for (const Precision precision : support::both_precisions) {
    KnowledgeDistillation kd;
    kd.precision = precision;
    check<Types>(kd, scores, support::Matrix<typename Types::Student>(1, support::long_row));
  }
}

TEST_CASE_TEMPLATE("KnowledgeDistillation: every option", Types, support::float_float, support::double_double,
                   support::half_bfloat16) {
  const support::Scores<typename Types::Student, typename Types::Teacher> scores(support::Kind::random, 5, 41, 3, 2, 1);
  const support::Matrix<typename Types::Student> grad(5, 41, 43, 3);
  for (const Reduction reduction : support::all_reductions) {
    for (const double weight : {1.0, 0.0, 2.5, -0.25}) {
      for (const double alpha : {0.0, 0.25, 1.0}) {
        for (const Precision precision : support::both_precisions) {
          KnowledgeDistillation kd;
          kd.temperature = 3;
          kd.alpha = alpha;
          kd.weight = weight;
          kd.reduction = reduction;
          kd.precision = precision;
          check<Types>(kd, scores, grad);
          check<Types>(kd, scores, grad, {0.5f, 0, 2, 0.25f, 1});
        }
      }
    }
  }
}

TEST_CASE("KnowledgeDistillation: is the sum of its parts, ignored labels included") {
  const support::Scores<double, double> scores(support::Kind::random, 6, 17);
  std::vector<int> labels{3, -100, 16, 0, -100, 5};
  const std::vector<float> weights{1, 1, 0.5f, 2, 0, 0};
  const std::vector<float> kl_weights{1, 0, 0.5f, 2, 0, 0};
  KnowledgeDistillation kd;
  kd.alpha = 0.3;
  distill::KlDivergence kl;
  kl.temperature = kd.temperature;
  kl.weight = kd.alpha;
  distill::CrossEntropy ce;
  ce.weight = 1 - kd.alpha;
  RowOptions options, kl_options;
  options.weights = weights;
  kl_options.weights = kl_weights;
  support::Matrix<double> together(6, 17), apart(6, 17);
  const double loss = kd(scores.student.view(), scores.teacher.view(), labels, together.view(), options);
  const double sum = kl(scores.student.view(), scores.teacher.view(), apart.view(), kl_options) +
                     ce(scores.student.view(), labels, distill::add_to(apart.view()), options);
  CHECK(loss == doctest::Approx(sum).epsilon(1e-13));
  for (std::size_t i = 0; i < 6; ++i) {
    for (std::size_t j = 0; j < 17; ++j) CHECK(together.at(i, j) == doctest::Approx(apart.at(i, j)).epsilon(1e-11));
  }
}

TEST_CASE("KnowledgeDistillation: the gradient is that of the value") {
  for (const support::Kind kind : support::all_kinds) {
    for (const std::size_t cols : std::initializer_list<std::size_t>{2, 7, 41}) {
      const support::Scores<double, double> scores(kind, 1, cols, 9);
      for (const double temperature : support::temperatures) {
        for (const double alpha : {0.0, 0.4, 1.0}) {
          CAPTURE(support::name(kind));
          CAPTURE(cols);
          CAPTURE(temperature);
          CAPTURE(alpha);
          KnowledgeDistillation kd;
          kd.temperature = temperature;
          kd.alpha = alpha;
          std::vector<double> grad(cols);
          kd(scores.student.view(), scores.teacher.view(), scores.labels, MatrixView{grad.data(), 1, cols});
          const auto value = [&](const reference::Row& student) {
            return reference::knowledge_distillation(student, scores.teacher.row(0),
                                                     static_cast<std::size_t>(scores.labels[0]), temperature, alpha)
                .loss;
          };
          const bool is_small = kind == support::Kind::near || kind == support::Kind::equal;
          support::check_gradient(value, scores.student.row(0), grad,
                                  is_small ? tolerances::finite_difference_near : tolerances::finite_difference,
                                  std::min(1.0, temperature), 1 + temperature * temperature);
        }
      }
    }
  }
}
