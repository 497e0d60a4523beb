// Laws that hold for every loss on class scores, whatever the numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <distill/distill.hpp>
#include <initializer_list>
#include <numeric>
#include <vector>

#include "support/data.hpp"
#include "support/guarded.hpp"
#include "support/loss_check.hpp"
#include "support/losses.hpp"
#include "support/outcome.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::MatrixView;
using distill::Precision;
using distill::RowOptions;
using support::run;

template <class Loss>
Loss with(Precision precision, double temperature = 2) {
  Loss loss;
  loss.loss.precision = precision;
  loss.set_temperature(temperature);
  return loss;
}

/// The largest difference between row `i` of `a` and row `k` of `b`.
template <class S>
double row_distance(const support::Matrix<S>& a, std::size_t i, const support::Matrix<S>& b, std::size_t k) {
  double largest = 0;
  for (std::size_t j = 0; j < a.cols(); ++j) {
    const auto difference = static_cast<double>(std::abs(support::number(a.at(i, j)) - support::number(b.at(k, j))));
    largest = difference <= largest ? largest : difference;
  }
  return largest;
}

}  // namespace

TEST_CASE_TEMPLATE("a constant added to a row of scores changes nothing", Loss, DISTILL_TEST_LOSSES) {
  for (const Precision precision : support::both_precisions) {
    for (const std::size_t cols : std::initializer_list<std::size_t>{2, 10, 300}) {
      support::Scores<double, double> scores(support::Kind::random, 3, cols), shifted = scores;
      for (const double shift : {1.0, -64.0, 4096.0}) {
        for (std::size_t i = 0; i < 3; ++i) {
          for (std::size_t j = 0; j < cols; ++j) {
            // numbers of few digits, so that the sum is exact
            scores.student.at(i, j) = std::round(scores.student.at(i, j) * 1024) / 1024;
            scores.teacher.at(i, j) = std::round(scores.teacher.at(i, j) * 1024) / 1024;
            shifted.student.at(i, j) = scores.student.at(i, j) + shift;
            shifted.teacher.at(i, j) = scores.teacher.at(i, j) - shift;
          }
        }
        const Loss loss = with<Loss>(precision);
        const auto a = run(loss, scores), b = run(loss, shifted);
        CAPTURE(shift);
        CAPTURE(cols);
        for (std::size_t i = 0; i < 3; ++i) {
          CHECK(std::abs(a.losses[i] - b.losses[i]) <=
                4 * tolerances::Tolerance<double>::value * std::max(1.0, a.losses[i]));
          CHECK(row_distance(a.grad, i, b.grad, i) <= 2 * tolerances::Tolerance<double>::gradient);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("permuted classes permute the gradient", Loss, DISTILL_TEST_LOSSES) {
  for (const Precision precision : support::both_precisions) {
    for (const std::size_t cols : std::initializer_list<std::size_t>{2, 9, 40, 300}) {
      const support::Scores<float, float> scores(support::Kind::random, 2, cols);
      support::Scores<float, float> permuted = scores;
      std::vector<std::size_t> to(cols);
      std::iota(to.begin(), to.end(), std::size_t{0});
      std::rotate(to.begin(), to.begin() + 1, to.end());
      std::reverse(to.begin() + 1, to.end());
      for (std::size_t i = 0; i < 2; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          permuted.student.at(i, to[j]) = scores.student.at(i, j);
          permuted.teacher.at(i, to[j]) = scores.teacher.at(i, j);
        }
        permuted.labels[i] = static_cast<int>(to[static_cast<std::size_t>(scores.labels[i])]);
      }
      const Loss loss = with<Loss>(precision);
      const auto a = run(loss, scores), b = run(loss, permuted);
      for (std::size_t i = 0; i < 2; ++i) {
        CHECK(std::abs(a.losses[i] - b.losses[i]) <= 8e-6 * std::max(1.0, a.losses[i]));
        double worst = 0;
        for (std::size_t j = 0; j < cols; ++j) {
          worst = std::max(worst,
                           std::abs(static_cast<double>(a.grad.at(i, j)) - static_cast<double>(b.grad.at(i, to[j]))));
        }
        CHECK(worst <= 4e-6);
      }
    }
  }
}

TEST_CASE_TEMPLATE("rows do not depend on one another: permuted, repeated, split", Loss, DISTILL_TEST_LOSSES) {
  for (const Precision precision : support::both_precisions) {
    for (const std::size_t cols : std::initializer_list<std::size_t>{1, 3, 10, 67, 600}) {
      const support::Scores<float, double> scores(support::Kind::random, 7, cols);
      Loss loss = with<Loss>(precision);
      loss.loss.reduction = distill::Reduction::sum;
      const auto whole = run(loss, scores);
      // permuted and repeated
      const std::size_t from[] = {6, 0, 3, 3, 1, 0, 2};
      support::Scores<float, double> permuted = scores;
      for (std::size_t i = 0; i < 7; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          permuted.student.at(i, j) = scores.student.at(from[i], j);
          permuted.teacher.at(i, j) = scores.teacher.at(from[i], j);
        }
        permuted.labels[i] = scores.labels[from[i]];
      }
      const auto moved = run(loss, permuted);
      for (std::size_t i = 0; i < 7; ++i) {
        CHECK(moved.losses[i] == whole.losses[from[i]]);
        CHECK(moved.grad.row(i) == whole.grad.row(from[i]));
      }
      // split
      for (const std::size_t first : std::initializer_list<std::size_t>{1, 4}) {
        support::Matrix<float> grad(7, cols);
        std::vector<double> losses(7);
        const auto part = [&](std::size_t begin, std::size_t end) {
          RowOptions options;
          options.losses = {losses.data() + begin, end - begin};
          loss(MatrixView{scores.student.view().row(begin), end - begin, cols},
               MatrixView{scores.teacher.view().row(begin), end - begin, cols},
               distill::LabelsView{scores.labels.data() + begin, end - begin},
               MatrixView{grad.view().row(begin), end - begin, cols}, options);
        };
        part(0, first);
        part(first, 7);
        CHECK(losses == whole.losses);
        CHECK(grad.same_bits(whole.grad));
      }
    }
  }
}

TEST_CASE("KL(p || p) is exactly 0, and so is its gradient") {
  const auto check = [](auto type, std::size_t cols, support::Kind kind, double temperature, Precision precision) {
    using S = decltype(type);
    const support::Scores<S, S> scores(kind, 2, cols);
    support::Scores<S, S> equal = scores;
    equal.student = equal.teacher;
    const auto outcome = run(with<support::Kl>(precision, temperature), equal);
    CAPTURE(cols);
    CAPTURE(temperature);
    CAPTURE(precision == Precision::high);
    CHECK(outcome.losses == std::vector<double>(2, 0.0));
    CHECK(outcome.total == 0);
    CHECK(row_distance(outcome.grad, 0, support::Matrix<S>(1, cols), 0) == 0);
    CHECK(row_distance(outcome.grad, 1, support::Matrix<S>(1, cols), 0) == 0);
  };
  for (const std::size_t cols : std::initializer_list<std::size_t>{1, 2, 10, 41, 1271}) {
    for (const support::Kind kind : {support::Kind::random, support::Kind::wide}) {
      for (const double temperature : {1e-30, 0.05, 1.0, 4.0, 100.0, 1e6, 1e30}) {
        for (const Precision precision : support::both_precisions) {
          check(float{}, cols, kind, temperature, precision);
          check(double{}, cols, kind, temperature, precision);
          check(distill::half{}, cols, kind, temperature, precision);
          check(distill::bfloat16{}, cols, kind, temperature, precision);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("a gradient row sums to 0", Loss, DISTILL_TEST_LOSSES) {
  for (const Precision precision : support::both_precisions) {
    for (const std::size_t cols : support::column_counts) {
      for (const double temperature : {0.5, 1.0, 4.0}) {
        const support::Scores<float, float> floats(support::Kind::random, 2, cols);
        const support::Scores<double, double> doubles(support::Kind::random, 2, cols);
        const Loss loss = with<Loss>(precision, temperature);
        const auto f = run(loss, floats);
        const auto d = run(loss, doubles);
        for (std::size_t i = 0; i < 2; ++i) {
          long double sum_f = 0, sum_d = 0;
          for (const long double element : f.grad.row(i)) sum_f += element;
          for (const long double element : d.grad.row(i)) sum_d += element;
          CAPTURE(cols);
          CAPTURE(temperature);
          CHECK(std::abs(static_cast<double>(sum_f)) <=
                tolerances::Tolerance<float>::row_sum * std::max(1.0, temperature));
          CHECK(std::abs(static_cast<double>(sum_d)) <=
                tolerances::Tolerance<double>::row_sum * std::max(1.0, temperature));
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("duplicate rows leave the mean as it is", Loss, DISTILL_TEST_LOSSES) {
  const support::Scores<double, double> scores(support::Kind::random, 1, 33);
  support::Scores<double, double> many(support::Kind::random, 8, 33);
  for (std::size_t i = 0; i < 8; ++i) {
    for (std::size_t j = 0; j < 33; ++j) {
      many.student.at(i, j) = scores.student.at(0, j);
      many.teacher.at(i, j) = scores.teacher.at(0, j);
    }
    many.labels[i] = scores.labels[0];
  }
  const auto one = run(Loss{}, scores), eight = run(Loss{}, many);
  CHECK(eight.total == doctest::Approx(one.total).epsilon(1e-15));
  for (std::size_t j = 0; j < 33; ++j) {
    CHECK(8 * eight.grad.at(5, j) == doctest::Approx(one.grad.at(0, j)).epsilon(1e-14));
  }
}

TEST_CASE_TEMPLATE("add_to adds", Loss, DISTILL_TEST_LOSSES) {
  for (const std::size_t cols : std::initializer_list<std::size_t>{1, 5, 16, 70}) {
    const support::Scores<float, float> scores(support::Kind::random, 4, cols, 1, 3, 1);
    const std::vector<float> weights{1, 0, 2, 0.5f};
    RowOptions options;
    options.weights = weights;
    const auto plain = run(Loss{}, scores, options);
    support::Matrix<float> sum(4, cols, cols + 3, 1);
    sum.fill(0.75);
    const double total =
        Loss{}(scores.student.view(), scores.teacher.view(), scores.labels, distill::add_to(sum.view()), options);
    CHECK(total == plain.total);
    CHECK(sum.guards_are_whole());
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t j = 0; j < cols; ++j) CHECK(sum.at(i, j) == 0.75f + plain.grad.at(i, j));
    }
  }
}

namespace {

/// Nothing may be touched behind the last element of any buffer; were it, the program would stop here.
template <class S, class T, class Loss>
void touch_only_what_is_there(std::size_t cols, Precision precision) {
  constexpr std::size_t rows = 2;
  support::Guarded<S> student(rows * cols), grad(rows * cols);
  support::Guarded<T> teacher(rows * cols);
  support::Guarded<int> labels(rows);
  support::Guarded<float> weights(rows);
  support::Guarded<double> losses(rows);
  for (std::size_t k = 0; k < rows * cols; ++k) {
    student[k] = support::stored<S>(static_cast<double>(k % 5));
    teacher[k] = support::stored<T>(static_cast<double>(k % 3));
    grad[k] = support::stored<S>(0);
  }
  for (std::size_t i = 0; i < rows; ++i) {
    labels[i] = static_cast<int>(cols - 1);
    weights[i] = 1;
  }
  RowOptions options;
  options.weights = {weights.data(), rows};
  options.losses = {losses.data(), rows};
  const Loss loss = with<Loss>(precision);
  const MatrixView s{student.data(), rows, cols}, g{grad.data(), rows, cols};
  const MatrixView t{teacher.data(), rows, cols};
  const distill::LabelsView l{labels.data(), rows};
  CHECK(std::isfinite(loss(s, t, l, options)));
  CHECK(std::isfinite(loss(s, t, l, g, options)));
  CHECK(std::isfinite(loss(s, t, l, distill::add_to(g), options)));
  CHECK(std::isfinite(loss(s, t, l, s, options)));
  // the rows of extreme numbers
  student[0] = support::stored<S>(-std::numeric_limits<double>::infinity());
  loss(s, t, l, g, options);
}

template <class S, class T>
void touch_only_what_is_there_in_softmax(std::size_t cols) {
  support::Guarded<S> x(cols), grad(cols);
  support::Guarded<T> out(cols);
  for (std::size_t j = 0; j < cols; ++j) x[j] = support::stored<S>(static_cast<double>(j % 5));
  const MatrixView in{x.data(), 1, cols}, g{grad.data(), 1, cols};
  const MatrixView o{out.data(), 1, cols};
  distill::softmax(in, o);
  distill::softmax_backward(in, o, g);
  distill::softmax_backward(in, o, distill::add_to(g));
  distill::log_softmax(in, o);
  distill::log_softmax_backward(in, o, g);
  distill::log_softmax(in, o, 1e-30);
  CHECK(!std::isnan(static_cast<double>(support::number(out[0]))));
}

}  // namespace

TEST_CASE_TEMPLATE("nothing is read or written behind the last element", Types, support::float_float,
                   support::double_double, support::half_half, support::bfloat16_bfloat16, support::float_double,
                   support::half_bfloat16) {
  using S = typename Types::Student;
  using T = typename Types::Teacher;
  for (std::size_t cols = 1; cols <= 70; ++cols) {
    for (const Precision precision : support::both_precisions) {
      touch_only_what_is_there<S, T, support::Kl>(cols, precision);
      touch_only_what_is_there<S, T, support::Ce>(cols, precision);
      touch_only_what_is_there<S, T, support::SmoothedCe>(cols, precision);
      touch_only_what_is_there<S, T, support::Kd>(cols, precision);
    }
    touch_only_what_is_there_in_softmax<S, T>(cols);
  }
}
