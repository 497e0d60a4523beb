#include <doctest/doctest.h>
#include <distill/features/feature_matching.hpp>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "support/data.hpp"
#include "support/golden.hpp"
#include "support/gradient_check.hpp"
#include "support/loss_check.hpp"
#include "support/reference_hidden.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::FeatureDistance;
using distill::FeatureMatching;
using distill::MatrixView;
using distill::Reduction;
using distill::RowOptions;

constexpr FeatureDistance all_distances[] = {FeatureDistance::squared, FeatureDistance::absolute,
                                             FeatureDistance::smooth_l1, FeatureDistance::huber,
                                             FeatureDistance::cosine};

FeatureMatching matching(FeatureDistance distance, bool normalize = false, double delta = 1) {
  FeatureMatching loss;
  loss.distance = distance;
  loss.normalize = normalize;
  loss.delta = delta;
  return loss;
}

template <class S, class T>
void check(const FeatureMatching& loss, const support::Scores<S, T>& features, support::Matrix<S> grad,
           const std::vector<float>& row_weights = {}) {
  support::Expected expected;
  long double largest = 1;
  for (std::size_t i = 0; i < features.student.rows(); ++i) {
    const reference::Row s = features.student.row(i), t = features.teacher.row(i);
    expected.rows.push_back(reference::feature_matching(loss, s, t));
    for (const long double g : expected.rows.back().gradient) largest = std::max(largest, std::abs(g));
    if (loss.normalize || loss.distance == FeatureDistance::cosine) continue;
    // s - t is rounded to the size of s and t
    for (std::size_t j = 0; j < s.size(); ++j) largest = std::max(largest, std::abs(s[j]) + std::abs(t[j]));
  }
  expected.gradient_unit = largest;
  expected.value_unit = largest;
  const bool cosine = loss.distance == FeatureDistance::cosine;
  grad.fill(123);  // is overwritten
  support::check_loss<distill::detail::compute_t<S, T>>(
      grad, expected, {loss.weight, loss.reduction, row_weights, cosine ? std::size_t{1} : 0},
      [&](auto target, const RowOptions& options) {
        return loss(features.student.view(), features.teacher.view(), target, options);
      },
      [&](const RowOptions& options) { return loss(features.student.view(), features.teacher.view(), options); });
}

/// The loss and the gradient of one row of doubles.
struct Outcome {
  double loss;
  std::vector<double> grad;
};

Outcome one_row(const FeatureMatching& loss, std::vector<double> student, const std::vector<double>& teacher) {
  Outcome outcome{0, std::vector<double>(student.size(), 42)};
  outcome.loss = loss(MatrixView{student.data(), 1, student.size()}, MatrixView{teacher.data(), 1, student.size()},
                      MatrixView{outcome.grad.data(), 1, student.size()});
  return outcome;
}

/// A call on a golden case; the mask is the row weights.
void check_golden(const std::string& name, FeatureMatching loss, bool whole_maps = false) {
  for (const auto& golden : support::golden_cases(name)) {
    CAPTURE(name);
    CAPTURE(golden.at("name").get<std::string>());
    if (golden.at("params").contains("normalize")) loss.normalize = golden.at("params").at("normalize") == 1;
    support::GoldenArray student(golden.at("inputs").at("student")), teacher(golden.at("inputs").at("teacher"));
    if (whole_maps) {
      student.rows = golden.at("inputs").at("student").at("shape").front().get<std::size_t>();
      student.cols = student.data.size() / student.rows;
    }
    std::vector<float> weights(student.rows, 1);
    if (golden.at("inputs").contains("mask")) {
      weights = golden.at("inputs").at("mask").at("data").get<std::vector<float>>();
    }
    RowOptions options;
    options.weights = weights;
    std::vector<double> grad(student.data.size(), 42);
    const double value = loss(MatrixView{student.data.data(), student.rows, student.cols},
                              MatrixView{teacher.data.data(), student.rows, student.cols},
                              MatrixView{grad.data(), student.rows, student.cols}, options);
    support::check_golden_loss(golden, value);
    support::check_golden_gradient(golden, grad);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("FeatureMatching: value and gradient are the reference's", Types, DISTILL_TEST_FEW_TYPE_PAIRS) {
  using S = typename Types::Student;
  using T = typename Types::Teacher;
  for (const std::size_t cols : support::column_counts) {
    for (const support::Kind kind : support::all_kinds) {
      const support::Scores<S, T> features(kind, 3, cols, static_cast<unsigned>(cols), cols % 3, cols % 2);
      for (const FeatureDistance distance : all_distances) {
        for (const bool normalize : {false, true}) {
          CAPTURE(cols);
          CAPTURE(support::name(kind));
          CAPTURE(static_cast<int>(distance));
          CAPTURE(normalize);
          // near a kink of a normalised row, rounding decides on which side it is
          if (normalize && distance == FeatureDistance::absolute && (kind == support::Kind::equal || cols == 1))
            continue;
          check(matching(distance, normalize, 0.75), features, support::Matrix<S>(3, cols, cols + 5, 1));
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("FeatureMatching: every option", S, DISTILL_TEST_TYPES) {
  const support::Scores<S, S> features(support::Kind::random, 5, 41, 3, 2, 1);
  for (const FeatureDistance distance : all_distances) {
    for (const Reduction reduction : support::all_reductions) {
      for (const double weight : {1.0, 0.0, 2.5, -0.25}) {
        for (const double delta : {0.01, 1.0, 100.0}) {
          CAPTURE(static_cast<int>(distance));
          FeatureMatching loss = matching(distance, false, delta);
          loss.weight = weight;
          loss.reduction = reduction;
          check(loss, features, support::Matrix<S>(5, 41, 43, 3));
          check(loss, features, support::Matrix<S>(5, 41, 43, 3), {0.5f, 0, 2, 0.25f, 1});
        }
      }
    }
  }
}

TEST_CASE("FeatureMatching: the gradient is that of the value") {
  const support::Scores<double, double> features(support::Kind::random, 1, 23, 7);
  const reference::Row s = features.student.row(0), t = features.teacher.row(0);
  for (const FeatureDistance distance : all_distances) {
    for (const bool normalize : {false, true}) {
      for (const double delta : {0.1, 1.0}) {
        CAPTURE(static_cast<int>(distance));
        CAPTURE(normalize);
        const FeatureMatching loss = matching(distance, normalize, delta);
        support::Matrix<double> grad(1, 23);
        FeatureMatching sum = loss;
        sum.reduction = Reduction::sum;
        sum(features.student.view(), features.teacher.view(), grad.view());
        support::check_gradient([&](const reference::Row& x) { return reference::feature_matching(loss, x, t).loss; },
                                s, grad.row(0), tolerances::finite_difference);
      }
    }
  }
}

TEST_CASE("FeatureMatching: golden vectors") {
  check_golden("hint_mse.repdistiller", matching(FeatureDistance::squared), true);
  check_golden("hidden_mse.textbrewer", matching(FeatureDistance::squared));
  check_golden("hidden_mse.distillkit", matching(FeatureDistance::squared));
  check_golden("hidden_smooth_l1.automodel", matching(FeatureDistance::smooth_l1));
  check_golden("hidden_cosine.automodel", matching(FeatureDistance::cosine));
  check_golden("hidden_cosine.distillkit", matching(FeatureDistance::cosine));
  check_golden("hidden_cosine.textbrewer", matching(FeatureDistance::cosine));
}

TEST_CASE("FeatureMatching: patient distillation looks at the first token of each sequence, by the row stride") {
  for (const auto& golden : support::golden_cases("patient_kd.textbrewer")) {
    FeatureMatching loss = matching(FeatureDistance::squared, true);
    loss.reduction = Reduction::mean;
    const support::GoldenArray student(golden.at("inputs").at("student")), teacher(golden.at("inputs").at("teacher"));
    const std::size_t rows = golden.at("inputs").at("student").at("shape").front().get<std::size_t>();
    const std::size_t stride = student.data.size() / rows;
    std::vector<double> grad(student.data.size());  // the other tokens' stays 0
    const double value = loss(MatrixView{student.data.data(), rows, student.cols, stride},
                              MatrixView{teacher.data.data(), rows, student.cols, stride},
                              MatrixView{grad.data(), rows, student.cols, stride});
    support::check_golden_loss(golden, value);
    support::check_golden_gradient(golden, grad);
  }
}

TEST_CASE("FeatureMatching: the cosine of nearly parallel rows keeps its digits and is never negative") {
  for (const double angle : {1e-1, 1e-2, 1e-3, 1e-4, 1e-5}) {
    const std::vector<float> student{3, 4},
        teacher{static_cast<float>(3 - 4 * angle), static_cast<float>(4 + 3 * angle)};
    const reference::Row s{student[0], student[1]}, t{teacher[0], teacher[1]};
    const long double expected = 0.5L * std::pow(std::atan2(s[0] * t[1] - s[1] * t[0], reference::dot(s, t)), 2);
    const double loss =
        matching(FeatureDistance::cosine)(MatrixView{student.data(), 1, 2}, MatrixView{teacher.data(), 1, 2});
    CAPTURE(angle);
    CHECK(loss >= 0);
    CHECK(std::abs(loss - static_cast<double>(expected)) <= tolerances::cosine_near * angle + angle * angle * angle);
  }
  const std::vector<float> row{0.1f, 0.7f, -3};
  CHECK(matching(FeatureDistance::cosine)(MatrixView{row.data(), 1, 3}, MatrixView{row.data(), 1, 3}) == 0);
}

TEST_CASE("FeatureMatching: a row of norm 0 is normalised to 0, and its gradient is 0") {
  const std::vector<double> zero{0, 0, 0}, other{1, 2, 2};
  for (const auto& [student, teacher] : {std::pair{zero, other}, {other, zero}, {zero, zero}}) {
    const Outcome cosine = one_row(matching(FeatureDistance::cosine), student, teacher);
    CHECK(cosine.loss == 1);
    CHECK(cosine.grad == zero);
  }
  const Outcome zero_student = one_row(matching(FeatureDistance::squared, true), zero, other);
  CHECK(zero_student.loss == doctest::Approx(1.0 / 3));
  CHECK(zero_student.grad == zero);
  const Outcome zero_teacher = one_row(matching(FeatureDistance::squared, true), other, zero);
  CHECK(zero_teacher.loss == doctest::Approx(1.0 / 3));
  for (const double g : zero_teacher.grad) CHECK(std::abs(g) <= tolerances::Tolerance<double>::gradient);
}

TEST_CASE_TEMPLATE("FeatureMatching: sizes whose squares overflow or vanish", T, float, double) {
  const double top = std::is_same_v<T, float> ? 1e38 : 1e307, bottom = std::is_same_v<T, float> ? 1e-36 : 1e-300;
  for (const double size : {top, bottom}) {
    const std::vector<T> s{static_cast<T>(size), static_cast<T>(-size), static_cast<T>(size / 4)};
    const std::vector<T> t{static_cast<T>(-size), static_cast<T>(size / 2), static_cast<T>(size / 4)};
    const std::vector<T> small_s{1, -1, 0.25}, small_t{-1, 0.5, 0.25};
    for (const FeatureDistance distance : all_distances) {
      for (const bool normalize : {false, true}) {
        CAPTURE(size);
        CAPTURE(static_cast<int>(distance));
        CAPTURE(normalize);
        FeatureMatching loss = matching(distance, normalize);
        const bool scale_free = normalize || distance == FeatureDistance::cosine;
        if (!scale_free) loss.delta = size;
        // squared and huber are of the order of size^2: a weight brings them back
        const bool quadratic =
            !scale_free && (distance == FeatureDistance::squared || distance == FeatureDistance::huber);
        loss.weight = quadratic ? 1 / size : 1;
        std::vector<T> grad(3), small_grad(3);
        const double value =
            loss(MatrixView{s.data(), 1, 3}, MatrixView{t.data(), 1, 3}, MatrixView{grad.data(), 1, 3});
        const double small = matching(distance, normalize)(
            MatrixView{small_s.data(), 1, 3}, MatrixView{small_t.data(), 1, 3}, MatrixView{small_grad.data(), 1, 3});
        if (!(quadratic && std::is_same_v<T, double>)) {  // the square of the size is no double
          CHECK(value / (scale_free ? 1 : size) == doctest::Approx(small).epsilon(tolerances::Tolerance<T>::value));
        }
        for (std::size_t j = 0; j < 3; ++j) {
          const double g = static_cast<double>(grad[j]) * (scale_free ? size : 1);
          if (size == bottom && scale_free) continue;  // 1 / size, which T need not hold
          CHECK(std::abs(g - static_cast<double>(small_grad[j])) <= 1e-4);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("FeatureMatching: a delta that is no number of the rows' type", T, float, double) {
  const std::vector<T> s{1, 2, 3}, t{3, 2, 2};
  const auto check = [&](FeatureMatching loss, double value, double scale) {
    CAPTURE(loss.delta);
    CAPTURE(loss.normalize);
    std::vector<T> grad(3);
    loss.reduction = distill::Reduction::sum;
    loss.weight = 1 / scale;
    CHECK(loss(MatrixView{s.data(), 1, 3}, MatrixView{t.data(), 1, 3}, MatrixView{grad.data(), 1, 3}) ==
          doctest::Approx(value));
    return grad;
  };
  for (const double delta : {1e3, 1e30, 1e39, 1e300}) {
    CHECK(check(matching(FeatureDistance::huber, false, delta), 2.5, 1) == std::vector<T>{-2, 0, 1});
    CHECK(check(matching(FeatureDistance::smooth_l1, false, delta), 2.5, 1 / delta)[2] == doctest::Approx(1));
    // of unit rows half the squared distance, 1 - cos
    const double apart = 1 - 13 / std::sqrt(14.0 * 17);
    check(matching(FeatureDistance::huber, true, delta), apart, 1);
    check(matching(FeatureDistance::smooth_l1, true, delta), apart, 1 / delta);
  }
  for (const double delta : {1e-30, 1e-39, 1e-60, 1e-300}) {
    CHECK(check(matching(FeatureDistance::smooth_l1, false, delta), 3, 1) == std::vector<T>{-1, 0, 1});
    CHECK(check(matching(FeatureDistance::huber, false, delta), 3, delta)[2] == doctest::Approx(1));
    for (const T g : check(matching(FeatureDistance::smooth_l1, true, delta),
                           std::abs(1 / std::sqrt(14.0) - 3 / std::sqrt(17.0)) +
                               std::abs(2 / std::sqrt(14.0) - 2 / std::sqrt(17.0)) +
                               std::abs(3 / std::sqrt(14.0) - 2 / std::sqrt(17.0)),
                           1)) {
      CHECK(std::isfinite(g));
    }
  }
}

TEST_CASE("FeatureMatching: parameters out of range throw") {
  const std::vector<float> row{1, 2};
  std::vector<float> grad{42, 42};
  const auto call = [&](const FeatureMatching& loss) {
    loss(MatrixView{row.data(), 1, 2}, MatrixView{row.data(), 1, 2}, MatrixView{grad.data(), 1, 2});
  };
  for (const double delta :
       {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    support::check_throws([&] { call(matching(FeatureDistance::huber, false, delta)); },
                          {"FeatureMatching: delta is ", "expected a positive finite number"});
  }
  support::check_throws([&] { call(matching(static_cast<FeatureDistance>(17))); },
                        {"FeatureMatching: distance is 17, expected a FeatureDistance"});
  CHECK(grad == std::vector<float>{42, 42});
}
