#include <doctest/doctest.h>

#include <distill/logits/kl_divergence.hpp>
#include <initializer_list>
#include <string>
#include <vector>

#include "support/data.hpp"
#include "support/gradient_check.hpp"
#include "support/loss_check.hpp"
#include "support/reference.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::KlDivergence;
using distill::MatrixView;
using distill::Precision;
using distill::Reduction;
using distill::RowOptions;

template <class S, class T>
support::Expected expected_rows(const KlDivergence& kl, const support::Scores<S, T>& scores) {
  support::Expected expected;
  const long double temperature = kl.temperature;
  expected.value_unit = kl.scale_by_temperature_squared ? temperature * temperature : 1;
  expected.gradient_unit = expected.value_unit / temperature;
  for (std::size_t i = 0; i < scores.student.rows(); ++i) {
    auto row = reference::kl_divergence(scores.student.row(i), scores.teacher.row(i), temperature);
    row.loss *= expected.value_unit;
    for (long double& element : row.gradient) element *= expected.value_unit;
    expected.rows.push_back(row);
  }
  return expected;
}

template <class Types>
void check(const KlDivergence& kl, const support::Scores<typename Types::Student, typename Types::Teacher>& scores,
           support::Matrix<typename Types::Student> grad, const std::vector<float>& row_weights = {}) {
  grad.fill(123);  // is overwritten
  support::check_loss<typename Types::Compute>(
      grad, expected_rows(kl, scores), {kl.weight, kl.reduction, row_weights},
      [&](auto target, const RowOptions& options) {
        return kl(scores.student.view(), scores.teacher.view(), target, options);
      },
      [&](const RowOptions& options) { return kl(scores.student.view(), scores.teacher.view(), options); });
}

}  // namespace

TEST_CASE_TEMPLATE("KlDivergence: value and gradient are the reference's", Types, DISTILL_TEST_TYPE_PAIRS) {
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
          KlDivergence kl;
          kl.temperature = temperature;
          kl.precision = precision;
          check<Types>(kl, scores, grad);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("KlDivergence: a row of 262144 classes", Types, support::float_float, support::double_double,
                   support::half_bfloat16, support::bfloat16_float) {
  for (const support::Kind kind : {support::Kind::random, support::Kind::near}) {
    const support::Scores<typename Types::Student, typename Types::Teacher> scores(kind, 1, support::long_row);
    for (const Precision precision : support::both_precisions) {
      KlDivergence kl;
      kl.temperature = 2;
      kl.precision = precision;
      check<Types>(kl, scores, support::Matrix<typename Types::Student>(1, support::long_row));
    }
  }
}

TEST_CASE_TEMPLATE("KlDivergence: every option", Types, support::float_float, support::double_double,
                   support::half_bfloat16) {
  const support::Scores<typename Types::Student, typename Types::Teacher> scores(support::Kind::random, 5, 41, 3, 2, 1);
  const support::Matrix<typename Types::Student> grad(5, 41, 43, 3);
  for (const Reduction reduction : support::all_reductions) {
    for (const double weight : {1.0, 0.0, 2.5, -0.25}) {
      for (const bool squared : {true, false}) {
        for (const Precision precision : support::both_precisions) {
          KlDivergence kl;
          kl.temperature = 3;
          kl.scale_by_temperature_squared = squared;
          kl.weight = weight;
          kl.reduction = reduction;
          kl.precision = precision;
          check<Types>(kl, scores, grad);
          check<Types>(kl, scores, grad, {0.5f, 0, 2, 0.25f, 1});
        }
      }
    }
  }
}

TEST_CASE("KlDivergence: Precision::high is relatively exact however close the two are") {
  for (const double noise : {1.0, 1e-1, 1e-2, 1e-3, 1e-4}) {
    for (const std::size_t cols : {std::size_t{2}, std::size_t{10}, std::size_t{1271}}) {
      support::Scores<float, float> scores(support::Kind::random, 4, cols, 5);
      for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          scores.student.at(i, j) = scores.teacher.at(i, j) + static_cast<float>(noise) * scores.student.at(i, j);
        }
      }
      for (const double temperature : support::temperatures) {
        KlDivergence kl;
        kl.temperature = temperature;
        kl.precision = Precision::high;
        std::vector<double> losses(4);
        RowOptions options;
        options.losses = losses;
        kl(scores.student.view(), scores.teacher.view(), options);
        const support::Expected expected = expected_rows(kl, scores);
        for (std::size_t i = 0; i < 4; ++i) {
          CAPTURE(noise);
          CAPTURE(cols);
          CAPTURE(temperature);
          const auto loss = static_cast<double>(expected.rows[i].loss);
          CHECK(std::abs(losses[i] - loss) <=
                tolerances::relative_high * loss + tolerances::floor_high * temperature * temperature);
        }
      }
    }
  }
}

TEST_CASE("KlDivergence: the gradient is that of the value") {
  for (const support::Kind kind : support::all_kinds) {
    for (const std::size_t cols : std::initializer_list<std::size_t>{2, 7, 41}) {
      const support::Scores<double, double> scores(kind, 1, cols, 9);
      for (const double temperature : support::temperatures) {
        CAPTURE(support::name(kind));
        CAPTURE(cols);
        CAPTURE(temperature);
        KlDivergence kl;
        kl.temperature = temperature;
        kl.weight = 1.5;
        std::vector<double> grad(cols);
        kl(scores.student.view(), scores.teacher.view(), MatrixView{grad.data(), 1, cols});
        if (kind == support::Kind::equal) {
          CHECK(grad == std::vector<double>(cols));
          continue;
        }
        const auto value = [&](const reference::Row& student) {
          return 1.5L * temperature * temperature *
                 reference::kl_divergence(student, scores.teacher.row(0), temperature).loss;
        };
        support::check_gradient(
            value, scores.student.row(0), grad,
            kind == support::Kind::near ? tolerances::finite_difference_near : tolerances::finite_difference,
            temperature, temperature * temperature);
      }
    }
  }
}

TEST_CASE_TEMPLATE("KlDivergence: with the teacher's entropy, too, it is never below 0", Scalar, float, double) {
  for (const std::size_t cols : std::initializer_list<std::size_t>{2, 3, 41, 1271}) {
    for (const double margin : {30.0, 60.0, 200.0, 1000.0}) {
      for (const double temperature : {0.5, 1.0, 3.0, 4.0}) {
        support::Matrix<Scalar> scores(1, cols);
        scores.fill(-temperature * margin);
        for (const double top : {0.0, 0.7, 2.3}) {
          scores.set(0, cols - 1, top);
          KlDivergence kl;
          kl.temperature = temperature;
          kl.subtract_teacher_entropy = false;
          CHECK(kl(scores.view(), scores.view()) >= 0);
        }
      }
    }
  }
}
