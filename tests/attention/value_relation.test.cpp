#include <doctest/doctest.h>
#include <distill/attention/value_relation.hpp>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "support/data.hpp"
#include "support/gradient_check.hpp"
#include "support/hidden_loss.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::FeatureMapView;
using distill::Reduction;
using distill::RowOptions;
using distill::TokenMask;
using distill::ValueRelation;
using reference::Row;

struct Shape {
  std::size_t heads, tokens, student_width, teacher_width;

  std::size_t student_size() const { return tokens * student_width; }
  std::size_t teacher_size() const { return tokens * teacher_width; }
};

ValueRelation relation(std::size_t heads, Reduction reduction = Reduction::per_element) {
  ValueRelation loss;
  loss.relation_heads = heads;
  loss.reduction = reduction;
  return loss;
}

/// The relation of token i to the tokens that count, of one head: logarithms of the softmax.
Row log_relation(const Row& x, const Shape& shape, std::size_t head, std::size_t i, const std::vector<bool>& live) {
  const std::size_t width = x.size() / shape.tokens, d = width / shape.heads;
  Row scores(shape.tokens);
  long double largest = -std::numeric_limits<long double>::infinity(), sum = 0;
  for (std::size_t j = 0; j < shape.tokens; ++j) {
    for (std::size_t c = head * d; c < (head + 1) * d; ++c) scores[j] += x[i * width + c] * x[j * width + c];
    scores[j] /= std::sqrt(static_cast<long double>(d));
    if (live[j]) largest = std::max(largest, scores[j]);
  }
  for (std::size_t j = 0; j < shape.tokens; ++j) sum += live[j] ? std::exp(scores[j] - largest) : 0;
  for (long double& score : scores) score -= largest + std::log(sum);
  return scores;
}

long double formula(const Row& student, const Row& teacher, const Shape& shape, std::vector<bool> live = {}) {
  if (live.empty()) live.assign(shape.tokens, true);
  long double loss = 0;
  for (std::size_t h = 0; h < shape.heads; ++h) {
    for (std::size_t i = 0; i < shape.tokens; ++i) {
      if (!live[i]) continue;
      const Row log_q = log_relation(student, shape, h, i, live), log_p = log_relation(teacher, shape, h, i, live);
      for (std::size_t j = 0; j < shape.tokens; ++j) {
        if (live[j]) loss += std::exp(log_p[j]) * (log_p[j] - log_q[j]);
      }
    }
  }
  return loss;
}

template <class T>
FeatureMapView<T> values(support::Matrix<T>& m, std::size_t tokens) {
  return distill::nhwc(m.view().data, m.rows(), tokens, 1, m.cols() / tokens);
}

}  // namespace

TEST_CASE("ValueRelation: all that is promised of a loss on hidden layers") {
  for (const Shape& shape : {Shape{2, 3, 4, 6}, Shape{1, 3, 2, 4}, Shape{3, 4, 3, 6}}) {
    const auto invoke = [shape](const auto& l, auto s, auto t, auto g, const auto& options) {
      return l(support::as_nhwc(s, shape.student_width, shape.tokens, 1),
               support::as_nhwc(t, shape.teacher_width, shape.tokens, 1),
               support::as_nhwc(g, shape.student_width, shape.tokens, 1), options);
    };
    auto hidden = support::hidden_loss("ValueRelation", relation(shape.heads), invoke);
    hidden.student_size = shape.student_size();
    hidden.teacher_size = shape.teacher_size();
    hidden.sample = [=](const Row& s, const Row& t) { return formula(s, t, shape); };
    hidden.sum_terms = shape.heads * shape.tokens;
    hidden.tolerance = 8;  // wide samples have scores in the hundreds, which are rounded to float
    support::check_hidden_loss(hidden);
  }
}

TEST_CASE("ValueRelation: padding is never read, and does not count") {
  const Shape shape{2, 9, 6, 4};
  const std::initializer_list<std::vector<std::uint8_t>> masks = {
      {1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1},  // at the end
      {0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1},  // at the start, one token left
      {1, 0, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},  // between tokens; a sample of padding
  };
  for (const std::vector<std::uint8_t>& mask : masks) {
    support::Matrix<double> student(support::Scores<double, double>(support::Kind::random, 2, 54, 1).student);
    support::Matrix<double> teacher(support::Scores<double, double>(support::Kind::random, 2, 36, 2).teacher);
    support::Matrix<double> grad(2, 54), sum(2, 54);
    long double loss = 0;
    std::size_t live_tokens = 0;
    Row gradients[2];
    for (std::size_t i = 0; i < 2; ++i) {
      std::vector<bool> live;
      for (std::size_t t = 0; t < 9; ++t) live.push_back(mask[9 * i + t] == 1);
      const Row s = student.row(i), t = teacher.row(i);
      const auto value = [&](const Row& x) { return formula(x, t, shape, live); };
      loss += value(s);
      gradients[i] = support::central_differences(value, s, 1e-5L);
      for (std::size_t k = 0; k < 9; ++k) {
        live_tokens += live[k] ? 1 : 0;
        if (live[k]) continue;
        for (std::size_t c = 0; c < 6; ++c) student.set(i, 6 * k + c, std::numeric_limits<double>::quiet_NaN());
        for (std::size_t c = 0; c < 4; ++c) teacher.set(i, 4 * k + c, std::numeric_limits<double>::quiet_NaN());
      }
    }
    const long double terms = static_cast<long double>(2 * live_tokens);
    const TokenMask tokens{mask.data(), 2, 9};
    grad.fill(123);
    const double value = relation(2)(values(student, 9), values(teacher, 9), tokens, values(grad, 9));
    CHECK(std::abs(value - static_cast<double>(loss / terms)) <= 1e-13);
    CHECK(relation(2)(values(student, 9), values(teacher, 9), tokens) == value);
    sum.fill(0.5);
    CHECK(relation(2)(values(student, 9), values(teacher, 9), tokens, distill::add_to(values(sum, 9))) == value);
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t e = 0; e < 54; ++e) {
        const auto expected = static_cast<double>(gradients[i][e] / terms);
        CHECK(std::abs(grad.at(i, e) - expected) <= tolerances::finite_difference);
        CHECK(std::abs(sum.at(i, e) - (0.5 + grad.at(i, e))) <= 1e-15);
      }
    }
    const double mean = relation(2, Reduction::mean)(values(student, 9), values(teacher, 9), tokens);
    CHECK(std::abs(mean - static_cast<double>(loss / 2)) <= 1e-12);
    CHECK(relation(2)(values(student, 9), values(teacher, 9), tokens, values(student, 9)) == value);
    for (std::size_t i = 0; i < 2; ++i) CHECK(student.row(i) == grad.row(i));
  }
}

TEST_CASE("ValueRelation: the width before the tokens, which are not neighbours then") {
  support::Matrix<float> student(support::Scores<float, float>(support::Kind::random, 2, 70, 1).student);
  support::Matrix<float> teacher(support::Scores<float, float>(support::Kind::random, 2, 140, 2).teacher);
  support::Matrix<float> grad(2, 70), turned(2, 70), turned_teacher(2, 140), turned_grad(2, 70);
  const auto turn = [](const support::Matrix<float>& from, support::Matrix<float>& to, std::size_t width) {
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t t = 0; t < 7; ++t) {
        for (std::size_t c = 0; c < width; ++c) to.at(i, c * 7 + t) = from.at(i, t * width + c);
      }
    }
  };
  turn(student, turned, 10);
  turn(teacher, turned_teacher, 20);
  const double value = relation(2)(values(student, 7), values(teacher, 7), values(grad, 7));
  const auto view = [](support::Matrix<float>& m) { return FeatureMapView{m.view().data, 2, m.cols() / 7, 7}; };
  CHECK(relation(2)(view(turned), view(turned_teacher), view(turned_grad)) == value);
  support::Matrix<float> expected(2, 70);
  turn(grad, expected, 10);
  CHECK(turned_grad.same_bits(expected));
}

TEST_CASE_TEMPLATE("ValueRelation: numbers whose products overflow or vanish", T, float, double) {
  const long double top = std::is_same_v<T, float> ? 1e30L : 1e200L;
  const Shape shape{1, 3, 2, 2};
  const Row small{1, 2, -1, 0.5L, 3, -2}, other{0.5L, 1, 1, -1, 0.25L, 2};
  support::Matrix<T> student(1, 6), teacher(1, 6), grad(1, 6);
  const auto set = [](support::Matrix<T>& m, const Row& row, long double size) {
    for (std::size_t e = 0; e < 6; ++e) m.set(0, e, static_cast<double>(size * row[e]));
  };
  set(teacher, other, 1);
  for (const long double size : {top, 1 / top}) {
    set(student, small, size);
    const double value = relation(1)(values(student, 3), values(teacher, 3), values(grad, 3));
    const long double expected = formula(student.row(0), teacher.row(0), shape) / 3;
    if (std::isfinite(static_cast<double>(expected))) {
      CHECK(value == doctest::Approx(static_cast<double>(expected)).epsilon(1e-6));
    }
    for (std::size_t e = 0; e < 6; ++e) CHECK(std::isfinite(grad.at(0, e)));
  }
  set(student, small, top);
  set(teacher, small, top);
  CHECK(relation(1)(values(student, 3), values(teacher, 3), values(grad, 3)) == 0);
  CHECK(grad.row(0) == Row(6));
}

TEST_CASE("ValueRelation: what is out of range or does not fit throws") {
  support::Matrix<float> student(2, 24), teacher(2, 48), grad(2, 24);
  grad.fill(42);
  const auto call = [&](const ValueRelation& loss, std::size_t tokens, std::size_t teacher_tokens) {
    loss(values(student, tokens), values(teacher, teacher_tokens), values(grad, tokens));
  };
  const auto throws = [](const auto& f, const std::string& message) {
    support::check_throws(f, {"ValueRelation: " + message});
  };
  throws([&] { call(relation(0), 4, 4); }, "relation_heads is 0, expected a divisor of student's width, 6");
  throws([&] { call(relation(4), 4, 4); }, "relation_heads is 4, expected a divisor of student's width, 6");
  throws([&] { call(relation(8), 3, 6); }, "teacher has 6 tokens, student has 3");
  std::vector<std::uint8_t> mask(8, 1);
  throws(
      [&] {
        relation(2)(values(student, 4), values(teacher, 4), TokenMask{mask.data(), 2, 3}, values(grad, 4));
      },
      "mask is 2 x 3, expected 2 x 4");
  mask[6] = 3;
  throws(
      [&] {
        relation(2)(values(student, 4), values(teacher, 4), TokenMask{mask.data(), 2, 4}, values(grad, 4));
      },
      "mask[1][2] is 3, expected 0 or 1");
  for (std::size_t i = 0; i < 2; ++i) CHECK(grad.row(i) == Row(24, 42));
}
