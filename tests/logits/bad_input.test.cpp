// Every row of the table "what bad input gets", for every loss that it applies to.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <distill/distill.hpp>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "support/data.hpp"
#include "support/guarded.hpp"
#include "support/loss_check.hpp"
#include "support/losses.hpp"
#include "support/reference.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::MatrixView;
using distill::Precision;
using distill::RowOptions;

constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr float infinite_f = std::numeric_limits<float>::infinity();
constexpr float not_a_number_f = std::numeric_limits<float>::quiet_NaN();

/// Two rows of three classes, and what must stay as it is when a call throws.
struct Call {
  std::vector<float> student{1, 2, 3, 4, 5, 6};
  std::vector<float> teacher{3, 2, 1, 6, 5, 4};
  std::vector<int> labels{0, 2};
  std::vector<float> grad = std::vector<float>(6, 42);
  std::vector<double> losses = std::vector<double>(2, 42);
  std::vector<float> weights{1, 1};
  RowOptions options;

  Call() {
    options.losses = losses;
    options.weights = weights;
  }
  MatrixView<const float> student_view() const { return {student.data(), 2, 3}; }
  MatrixView<const float> teacher_view() const { return {teacher.data(), 2, 3}; }
  MatrixView<float> grad_view() { return {grad.data(), 2, 3}; }
  bool untouched() const {
    return grad == std::vector<float>(6, 42) && losses == std::vector<double>(2, 42) &&
           student == std::vector<float>{1, 2, 3, 4, 5, 6} && teacher == std::vector<float>{3, 2, 1, 6, 5, 4};
  }
};

template <class Loss>
void check_parameter(const Loss& loss, const std::vector<std::string>& pieces) {
  Call call;
  std::vector<std::string> all = pieces;
  all.push_back(Loss::name);
  support::check_throws(
      [&] { loss(call.student_view(), call.teacher_view(), call.labels, call.grad_view(), call.options); }, all);
  support::check_throws([&] { loss(call.student_view(), call.teacher_view(), call.labels, call.options); }, all);
  CHECK(call.untouched());
}

/// `with_gradient`: throws only where a gradient is asked for.
template <class Loss, class S, class T, class L, class G>
void check_call(const Loss& loss, Call& call, const S& student, const T& teacher, const L& labels, const G& grad,
                const std::vector<std::string>& pieces) {
  std::vector<std::string> all = pieces;
  all.push_back(Loss::name);
  support::check_throws([&] { loss(student, teacher, labels, grad, call.options); }, all);
  support::check_throws([&] { loss(student, teacher, labels, distill::add_to(grad), call.options); }, all);
  CHECK(call.untouched());
}

/// The loss of one row, its value and gradient.
struct Outcome {
  double loss;
  std::vector<double> grad;
  bool grad_is_finite() const {
    for (const double g : grad) {
      if (!std::isfinite(g)) return false;
    }
    return true;
  }
  bool grad_is_nan() const {
    for (const double g : grad) {
      if (!std::isnan(g)) return false;
    }
    return true;
  }
};

template <class Scalar, class Loss>
Outcome one_row(const Loss& loss, const std::vector<double>& student, const std::vector<double>& teacher,
                int label = 0) {
  support::Matrix<Scalar> s(1, student.size()), t(1, student.size()), g(1, student.size());
  for (std::size_t j = 0; j < student.size(); ++j) {
    s.set(0, j, student[j]);
    t.set(0, j, teacher[j]);
  }
  Outcome outcome;
  outcome.loss = loss(s.view(), t.view(), std::vector<int>{label}, g.view());
  for (const long double element : g.row(0)) outcome.grad.push_back(static_cast<double>(element));
  CHECK(g.guards_are_whole());
  const double value_only = loss(s.view(), t.view(), std::vector<int>{label});
  CHECK((value_only == outcome.loss || std::abs(value_only - outcome.loss) <= 1e-6 * std::abs(outcome.loss) ||
         (std::isnan(value_only) && std::isnan(outcome.loss))));
  return outcome;
}

/// Compares with the reference of the scores as the type holds them; `gradient_unit` as in support::Expected.
template <class Scalar, class Loss>
void check_row(const Loss& loss, const std::vector<double>& student, const std::vector<double>& teacher, int label,
               double value_unit, double gradient_unit) {
  const Outcome outcome = one_row<Scalar>(loss, student, teacher, label);
  reference::Row s, t;
  for (std::size_t j = 0; j < student.size(); ++j) {
    s.push_back(support::number(support::stored<Scalar>(student[j])));
    t.push_back(support::number(support::stored<Scalar>(teacher[j])));
  }
  using Tolerance = tolerances::Tolerance<distill::detail::compute_t<Scalar>>;
  const reference::Result expected = loss.expected(s, t, static_cast<std::size_t>(label));
  const auto value = static_cast<double>(expected.loss);
  CHECK((outcome.loss == value ||
         std::abs(outcome.loss - value) <= Tolerance::value * std::max(std::abs(value), value_unit)));
  for (std::size_t j = 0; j < student.size(); ++j) {
    const auto e = static_cast<double>(expected.gradient[j]);
    CHECK(std::abs(outcome.grad[j] - e) <= Tolerance::gradient * gradient_unit);
  }
}

const double bad_temperatures[] = {0.0, -1.0, not_a_number, infinite, -infinite};

}  // namespace

// ------------------------------------------------------------------------------------------------- what throws

TEST_CASE_TEMPLATE("a temperature that is not positive and finite throws", Loss, support::Kl, support::Kd) {
  for (const double temperature : bad_temperatures) {
    Loss loss;
    loss.set_temperature(temperature);
    check_parameter(loss, {"temperature is ", "expected a positive finite number"});
  }
  Loss loss;
  loss.set_temperature(-2);
  check_parameter(loss, {"temperature is -2, expected a positive finite number"});
  loss.set_temperature(1e160);  // its square is no number
  check_parameter(loss, {"temperature is 1e+160, expected at most 1e+150"});
}

TEST_CASE("softmax and log_softmax throw on such a temperature, forward and backward") {
  for (const double temperature : bad_temperatures) {
    Call call;
    const std::vector<std::string> pieces{"temperature is ", "expected a positive finite number"};
    const auto with = [&](const char* who) {
      std::vector<std::string> all = pieces;
      all.push_back(std::string(who) + ": ");
      return all;
    };
    support::check_throws([&] { distill::softmax(call.student_view(), call.grad_view(), temperature); },
                          with("softmax"));
    support::check_throws([&] { distill::log_softmax(call.student_view(), call.grad_view(), temperature); },
                          with("log_softmax"));
    support::check_throws(
        [&] { distill::softmax_backward(call.student_view(), call.teacher_view(), call.grad_view(), temperature); },
        with("softmax_backward"));
    support::check_throws(
        [&] { distill::log_softmax_backward(call.student_view(), call.teacher_view(), call.grad_view(), temperature); },
        with("log_softmax_backward"));
    CHECK(call.untouched());
  }
}

TEST_CASE("alpha and label_smoothing outside [0, 1] throw") {
  for (const double bad : {-0.001, 1.001, not_a_number, infinite}) {
    support::Kd kd;
    kd.loss.alpha = bad;
    check_parameter(kd, {"alpha is ", "expected a number from 0 to 1"});
    support::Ce ce;
    ce.loss.label_smoothing = bad;
    check_parameter(ce, {"label_smoothing is ", "expected a number from 0 to 1"});
  }
}

TEST_CASE_TEMPLATE("a weight that is not finite throws", Loss, DISTILL_TEST_LOSSES) {
  for (const double bad : {not_a_number, infinite, -infinite}) {
    Loss loss;
    loss.loss.weight = bad;
    check_parameter(loss, {"weight is ", "expected a finite number"});
  }
}

TEST_CASE_TEMPLATE("a row weight that is negative or not finite throws", Loss, DISTILL_TEST_LOSSES) {
  for (const float bad : {-1.0f, not_a_number_f, infinite_f, -infinite_f}) {
    Call call;
    call.weights = {1, bad};
    call.options.weights = call.weights;
    check_call(Loss{}, call, call.student_view(), call.teacher_view(), call.labels, call.grad_view(),
               {"weights[1] is ", "expected a finite number of at least 0"});
  }
}

TEST_CASE_TEMPLATE("labels out of range throw", Loss, support::Ce, support::SmoothedCe, support::Kd) {
  Call call;
  for (const int bad : {3, -1, 1000, -99, -101}) {
    call.labels = {0, bad};
    check_call(Loss{}, call, call.student_view(), call.teacher_view(), call.labels, call.grad_view(),
               {"labels[1] is " + std::to_string(bad), "expected 0 to 2 or ignore_label (-100)"});
  }
  const std::vector<int> three{0, 1, 2};
  check_call(Loss{}, call, call.student_view(), call.teacher_view(), three, call.grad_view(),
             {"labels has 3 entries, student has 2 rows"});
  const distill::LabelsView<int> null{nullptr, 2};
  check_call(Loss{}, call, call.student_view(), call.teacher_view(), null, call.grad_view(),
             {"labels is null, expected 2 entries"});
}

TEST_CASE("labels of other types that are out of range throw") {
  Call call;
  const support::Ce loss;
  const std::vector<std::uint64_t> huge{std::numeric_limits<std::uint64_t>::max(), 0};
  check_call(loss, call, call.student_view(), call.teacher_view(), huge, call.grad_view(),
             {"labels[0] is 18446744073709551615"});
  const std::vector<std::int8_t> small{0, -3};
  check_call(loss, call, call.student_view(), call.teacher_view(), small, call.grad_view(), {"labels[1] is -3"});
}

TEST_CASE_TEMPLATE("matrices that do not fit throw", Loss, DISTILL_TEST_LOSSES) {
  const Loss loss;
  Call call;
  const auto s = call.student_view();
  const auto t = call.teacher_view();
  const auto g = call.grad_view();
  float* const null = nullptr;
  const std::size_t most = std::numeric_limits<std::size_t>::max() / 2;

  check_call(loss, call, MatrixView{call.student.data(), 2, 0}, t, call.labels, g,
             {"student has 0 columns, expected at least 1"});
  check_call(loss, call, MatrixView{call.student.data(), 2, 3, 2}, t, call.labels, g,
             {"student has a row stride of 2, expected at least its 3 columns"});
  check_call(loss, call, MatrixView{null, 2, 3}, t, call.labels, g, {"student is null, expected 2 x 3 elements"});
  check_call(loss, call, MatrixView{call.student.data(), 2, 3, most / 4}, t, call.labels, g,
             {"student has 2 rows of stride", "expected a size that fits into memory"});

  if constexpr (Loss::has_teacher) {
    check_call(loss, call, s, MatrixView{call.teacher.data(), 2, 0}, call.labels, g, {"teacher has 0 columns"});
    check_call(loss, call, s, MatrixView{call.teacher.data(), 2, 2}, call.labels, g,
               {"teacher has 2 columns, student has 3"});
    check_call(loss, call, s, MatrixView{call.teacher.data(), 1, 3}, call.labels, g,
               {"teacher has 1 rows, student has 2"});
    check_call(loss, call, s, MatrixView{call.teacher.data(), 2, 3, 1}, call.labels, g,
               {"teacher has a row stride of 1, expected at least its 3 columns"});
    check_call(loss, call, s, MatrixView{null, 2, 3}, call.labels, g, {"teacher is null"});
  }

  check_call(loss, call, s, t, call.labels, MatrixView{call.grad.data(), 2, 2}, {"grad has 2 columns, student has 3"});
  check_call(loss, call, s, t, call.labels, MatrixView{call.grad.data(), 1, 3}, {"grad has 1 rows, student has 2"});
  check_call(loss, call, s, t, call.labels, MatrixView{call.grad.data(), 2, 3, 1}, {"grad has a row stride of 1"});
  check_call(loss, call, s, t, call.labels, MatrixView{null, 2, 3}, {"grad is null, expected 2 x 3 elements"});
}

TEST_CASE_TEMPLATE("a gradient that partly overlaps an input throws", Loss, DISTILL_TEST_LOSSES) {
  std::vector<float> memory(20, 1);
  const std::vector<float> before = memory;
  std::vector<float> other(6, 2);
  const std::vector<int> labels{0, 2};
  const Loss loss;
  const MatrixView student{memory.data() + 4, 2, 3};
  for (const std::ptrdiff_t offset : {-5, -1, 1, 5}) {
    support::check_throws(
        [&] {
          loss(student, MatrixView{other.data(), 2, 3}, labels, MatrixView{memory.data() + 4 + offset, 2, 3});
        },
        {"grad overlaps student, expected separate memory or exactly the same", Loss::name});
  }
  support::check_throws(
      [&] {
        loss(student, MatrixView{other.data(), 2, 3}, labels, MatrixView{memory.data() + 4, 2, 3, 4});
      },
      {"grad overlaps student"});
  if constexpr (Loss::has_teacher) {
    for (const std::ptrdiff_t offset : {-1, 0, 1}) {
      support::check_throws(
          [&] {
            loss(MatrixView{other.data(), 2, 3}, student, labels, MatrixView{memory.data() + 4 + offset, 2, 3});
          },
          {"grad overlaps teacher, expected separate memory", Loss::name});
    }
  }
  CHECK(memory == before);
  CHECK(other == std::vector<float>(6, 2));
  loss(student, MatrixView{other.data(), 2, 3}, labels, MatrixView{memory.data() + 10, 2, 3});  // neighbours are fine
}

TEST_CASE("softmax's matrices that do not fit throw") {
  Call call;
  const auto s = call.student_view();
  const auto g = call.grad_view();
  float* const null = nullptr;
  support::check_throws(
      [&] {
        distill::softmax(s, MatrixView{call.grad.data(), 2, 2});
      },
      {"softmax: out has 2 columns, logits has 3"});
  support::check_throws(
      [&] {
        distill::softmax(s, MatrixView{call.grad.data(), 1, 3});
      },
      {"softmax: out has 1 rows, logits has 2"});
  support::check_throws([&] { distill::softmax(s, MatrixView{null, 2, 3}); }, {"softmax: out is null"});
  support::check_throws([&] { distill::softmax(MatrixView{null, 2, 3}, g); }, {"softmax: logits is null"});
  support::check_throws(
      [&] {
        distill::softmax(MatrixView{call.student.data(), 2, 0}, g);
      },
      {"softmax: logits has 0 columns, expected at least 1"});
  support::check_throws(
      [&] {
        distill::log_softmax(MatrixView{call.student.data(), 2, 3, 1}, g);
      },
      {"log_softmax: logits has a row stride of 1, expected at least its 3 columns"});
  support::check_throws(
      [&] {
        distill::softmax(MatrixView{call.student.data(), 1, 3}, MatrixView{call.student.data() + 1, 1, 3});
      },
      {"softmax: out overlaps logits"});
  support::check_throws(
      [&] {
        distill::softmax_backward(s, MatrixView{call.teacher.data(), 1, 3}, g);
      },
      {"softmax_backward: grad_output has 1 rows, output has 2"});
  support::check_throws(
      [&] {
        distill::softmax_backward(s, s, MatrixView{call.grad.data(), 2, 2});
      },
      {"softmax_backward: grad_logits has 2 columns, output has 3"});
  support::check_throws(
      [&] {
        distill::log_softmax_backward(MatrixView{call.student.data(), 1, 3}, MatrixView{call.teacher.data(), 1, 3},
                                      MatrixView{call.teacher.data() + 1, 1, 3});
      },
      {"log_softmax_backward: grad_logits overlaps grad_output"});
  CHECK(call.untouched());
}

// ------------------------------------------------------------------------------------------- what has a result

TEST_CASE_TEMPLATE("the gradient may be the student's memory", Loss, DISTILL_TEST_LOSSES) {
  for (const std::size_t cols : std::initializer_list<std::size_t>{1, 2, 7, 33, 200}) {
    for (const Precision precision : support::both_precisions) {
      for (const double extreme : {0.0, 3e38}) {  // the latter takes the path of extreme rows
        support::Scores<float, float> scores(support::Kind::random, 3, cols);
        scores.student.set(1, 0, extreme);
        support::Matrix<float> grad(3, cols), accumulated = scores.student;
        Loss loss;
        loss.loss.precision = precision;
        const double apart = loss(scores.student.view(), scores.teacher.view(), scores.labels, grad.view());
        const double in_place =
            loss(scores.student.view(), scores.teacher.view(), scores.labels, scores.student.view());
        CHECK(apart == in_place);
        CHECK(scores.student.same_bits(grad));
      }
    }
  }
}

TEST_CASE_TEMPLATE("no rows, or none that count: loss 0, gradient 0", Loss, DISTILL_TEST_LOSSES) {
  for (const distill::Reduction reduction : support::all_reductions) {
    Loss loss;
    loss.loss.reduction = reduction;
    CHECK(loss(MatrixView{static_cast<float*>(nullptr), 0, 3}, MatrixView{static_cast<float*>(nullptr), 0, 3},
               std::vector<int>{}, MatrixView{static_cast<float*>(nullptr), 0, 3}) == 0);
    Call call;
    call.weights = {0, 0};
    CHECK(loss(call.student_view(), call.teacher_view(), call.labels, distill::add_to(call.grad_view()),
               call.options) == 0);
    CHECK(call.grad == std::vector<float>(6, 42));
    CHECK(loss(call.student_view(), call.teacher_view(), call.labels, call.grad_view(), call.options) == 0);
    CHECK(call.grad == std::vector<float>(6, 0));
    CHECK(call.losses == std::vector<double>(2, 0));
    if constexpr (Loss::has_labels) {
      call.grad.assign(6, 42);
      call.options.weights = {};
      call.labels = {-100, -100};
      CHECK(loss(call.student_view(), call.teacher_view(), call.labels, call.grad_view(), call.options) == 0);
      CHECK(call.grad == std::vector<float>(6, 0));
    }
  }
}

TEST_CASE_TEMPLATE("one column: 0 and 0", Loss, DISTILL_TEST_LOSSES) {
  for (const double student : {0.0, 5.0, -3e38, 3e38}) {
    const Outcome outcome = one_row<float>(Loss{}, {student}, {-1});
    CHECK(outcome.loss == 0);
    CHECK(outcome.grad[0] == 0);
  }
  std::vector<float> x{7, -7}, out{3, 3};
  distill::softmax(MatrixView{x.data(), 2, 1}, MatrixView{out.data(), 2, 1});
  CHECK(out == std::vector<float>{1, 1});
  distill::log_softmax(MatrixView{x.data(), 2, 1}, MatrixView{out.data(), 2, 1});
  CHECK(out == std::vector<float>{0, 0});
}

TEST_CASE_TEMPLATE("NaN and +infinity poison their own row only", Loss, DISTILL_TEST_LOSSES) {
  for (const std::size_t cols : std::initializer_list<std::size_t>{3, 8, 17, 700}) {
    for (const double poison : {not_a_number, infinite}) {
      for (const bool in_teacher : {false, true}) {
        if (in_teacher && !Loss::has_teacher) continue;
        for (const std::size_t where : {std::size_t{0}, cols / 2, cols - 1}) {
          for (const Precision precision : support::both_precisions) {
            support::Scores<float, float> scores(support::Kind::random, 3, cols);
            support::Matrix<float> clean(3, cols), grad(3, cols);
            std::vector<double> clean_losses(3), losses(3);
            RowOptions options, clean_options;
            options.losses = losses;
            clean_options.losses = clean_losses;
            Loss loss;
            loss.loss.precision = precision;
            loss(scores.student.view(), scores.teacher.view(), scores.labels, clean.view(), clean_options);
            (in_teacher ? scores.teacher : scores.student).set(1, where, poison);
            const double total =
                loss(scores.student.view(), scores.teacher.view(), scores.labels, grad.view(), options);
            CAPTURE(cols);
            CAPTURE(poison);
            CAPTURE(in_teacher);
            CAPTURE(where);
            CHECK(std::isnan(total));
            CHECK(std::isnan(losses[1]));
            bool all_nan = true;
            for (std::size_t j = 0; j < cols; ++j) all_nan = all_nan && std::isnan(grad.at(1, j));
            CHECK(all_nan);
            for (const std::size_t i : std::initializer_list<std::size_t>{0, 2}) {
              CHECK(losses[i] == clean_losses[i]);
              CHECK(grad.row(i) == clean.row(i));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("NaN and +infinity poison a row of KnowledgeDistillation whatever the weight of their term") {
  for (const double poison : {not_a_number, infinite}) {
    for (const double alpha : {0.0, 1.0}) {
      for (const std::size_t cols : std::initializer_list<std::size_t>{3, 700}) {
        support::Kd kd;
        kd.loss.alpha = alpha;
        std::vector<double> good(cols, 1), bad(cols, 1);
        bad[cols - 1] = poison;
        CAPTURE(poison);
        CAPTURE(alpha);
        CAPTURE(cols);
        for (const Outcome& outcome : {one_row<float>(kd, bad, good), one_row<float>(kd, good, bad)}) {
          CHECK(std::isnan(outcome.loss));
          CHECK(outcome.grad_is_nan());
        }
      }
    }
  }
}

TEST_CASE("NaN and +infinity poison their own row of softmax and log_softmax only") {
  for (const std::size_t cols : std::initializer_list<std::size_t>{3, 17, 700}) {
    for (const double poison : {not_a_number, infinite}) {
      support::Scores<float, float> scores(support::Kind::random, 2, cols);
      support::Matrix<float> out(2, cols), clean(2, cols);
      CAPTURE(cols);
      CAPTURE(poison);
      const auto check = [&](const auto& function) {
        function(scores.student, clean);
        support::Matrix<float> bad = scores.student;
        bad.set(1, cols - 1, poison);
        function(bad, out);
        CHECK(out.row(0) == clean.row(0));
        bool all_nan = true;
        for (std::size_t j = 0; j < cols; ++j) all_nan = all_nan && std::isnan(out.at(1, j));
        CHECK(all_nan);
      };
      check([](const auto& x, auto& y) { distill::softmax(x.view(), y.view()); });
      check([](const auto& x, auto& y) { distill::log_softmax(x.view(), y.view()); });
    }
  }
}

TEST_CASE_TEMPLATE("a row of nothing but -infinity is NaN", Loss, DISTILL_TEST_LOSSES) {
  for (const std::size_t cols : std::initializer_list<std::size_t>{2, 100}) {
    const Outcome student = one_row<float>(Loss{}, std::vector<double>(cols, -infinite), std::vector<double>(cols, 1));
    CHECK(std::isnan(student.loss));
    CHECK(student.grad_is_nan());
    if constexpr (Loss::has_teacher) {
      const Outcome teacher =
          one_row<float>(Loss{}, std::vector<double>(cols, 1), std::vector<double>(cols, -infinite));
      CHECK(std::isnan(teacher.loss));
      CHECK(teacher.grad_is_nan());
    }
  }
}

TEST_CASE_TEMPLATE("-infinity in student, teacher or both", Scalar, DISTILL_TEST_TYPES) {
  for (const Precision precision : support::both_precisions) {
    for (const double temperature : {1.0, 3.0, 50.0}) {
      support::Kl kl;
      kl.loss.precision = precision;
      kl.loss.temperature = temperature;
      const double t2 = temperature * temperature;
      // half and bfloat16 gradients are rounded: their own test compares them
      const double rounding = sizeof(Scalar) == 2 ? 1e4 : 1;
      const std::vector<double> student{1, 2, 0.5, -1, 3}, teacher{2, 0, 1, 1, -2};
      for (std::size_t j = 0; j < 5; ++j) {
        std::vector<double> s = student, t = teacher;
        s[j] = t[j] = -infinite;
        check_row<Scalar>(kl, s, t, 0, t2, temperature * rounding);
        CHECK(one_row<Scalar>(kl, s, t).grad[j] == 0);
        s = student;
        check_row<Scalar>(kl, s, t, 0, t2, temperature * rounding);
        CHECK(one_row<Scalar>(kl, s, t).grad_is_finite());
        s[j] = -infinite;
        t = teacher;
        const Outcome outcome = one_row<Scalar>(kl, s, t);
        CHECK(outcome.loss == infinite);
        CHECK(outcome.grad_is_finite());
        check_row<Scalar>(kl, s, t, 0, t2, temperature * rounding);
      }
    }
  }
}

TEST_CASE("-infinity under hard labels") {
  const std::vector<double> student{1, -infinite, 0.5, -1, 3}, teacher{1, 2, 0, 0, 1};
  for (const int label : {0, 1, 4}) {
    const Outcome hard = one_row<float>(support::Ce{}, student, teacher, label);
    CHECK((hard.loss == infinite) == (label == 1));
    CHECK(hard.grad_is_finite());
    check_row<float>(support::Ce{}, student, teacher, label, 1, 1);
    const Outcome smoothed = one_row<float>(support::SmoothedCe{}, student, teacher, label);
    CHECK(smoothed.loss == infinite);
    CHECK(smoothed.grad_is_finite());
    check_row<float>(support::SmoothedCe{}, student, teacher, label, 1, 1);
    support::Kd kd;
    kd.loss.alpha = 0;  // the infinite KL counts 0
    CHECK((one_row<float>(kd, student, teacher, label).loss == infinite) == (label == 1));
    CHECK(one_row<float>(kd, student, teacher, label).grad_is_finite());
    kd.loss.alpha = 1;
    const std::vector<double> masked_teacher{1, -infinite, 0, 0, 1};
    CHECK(std::isfinite(one_row<float>(kd, student, masked_teacher, label).loss));
    kd.loss.alpha = 0.5;
    const Outcome both = one_row<float>(kd, student, masked_teacher, label);
    CHECK((both.loss == infinite) == (label == 1));
    CHECK(both.grad_is_finite());
  }
}

TEST_CASE("-infinity in softmax and log_softmax") {
  const std::vector<float> x{-infinite_f, 1, -infinite_f, 2};
  std::vector<float> out(4);
  distill::softmax(MatrixView{x.data(), 1, 4}, MatrixView{out.data(), 1, 4});
  CHECK(out[0] == 0);
  CHECK(out[2] == 0);
  CHECK(out[1] + out[3] == doctest::Approx(1));
  distill::log_softmax(MatrixView{x.data(), 1, 4}, MatrixView{out.data(), 1, 4});
  CHECK(out[0] == -infinite_f);
  CHECK(out[1] == doctest::Approx(-1.3132617));
  const std::vector<float> g{1, 2, 3, 4};
  std::vector<float> grad(4);
  distill::log_softmax_backward(MatrixView{out.data(), 1, 4}, MatrixView{g.data(), 1, 4},
                                MatrixView{grad.data(), 1, 4});
  CHECK(grad[0] == 1);  // probability 0
  CHECK(grad[1] == doctest::Approx(2 - 10 * std::exp(-1.3132617)));
  const std::vector<float> all(4, -infinite_f);
  distill::softmax(MatrixView{all.data(), 1, 4}, MatrixView{out.data(), 1, 4});
  for (const float p : out) CHECK(std::isnan(p));
  distill::log_softmax(MatrixView{all.data(), 1, 4}, MatrixView{out.data(), 1, 4});
  for (const float p : out) CHECK(std::isnan(p));
}

TEST_CASE_TEMPLATE("an ignored row is never read: it lies on a closed page", Loss, DISTILL_TEST_LOSSES) {
  support::Pages student_pages(3), teacher_pages(3);
  const std::size_t cols = 37, stride = student_pages.page_size() / sizeof(float);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      student_pages.at<float>(i)[j] = static_cast<float>(j % 7);
      teacher_pages.at<float>(i)[j] = static_cast<float>((j + i) % 5);
    }
  }
  const MatrixView student{student_pages.at<float>(0), 3, cols, stride};
  const MatrixView teacher{teacher_pages.at<float>(0), 3, cols, stride};
  std::vector<float> grad(3 * cols, 42), weights{1, 0, 1};
  std::vector<int> labels{1, 1, 1};
  student_pages.close(1);
  teacher_pages.close(1);
  RowOptions options;
  options.weights = weights;
  for (const Precision precision : support::both_precisions) {
    Loss loss;
    loss.loss.precision = precision;
    CHECK(std::isfinite(loss(student, teacher, labels, MatrixView{grad.data(), 3, cols}, options)));
    CHECK(std::isfinite(loss(student, teacher, labels, options)));
    for (std::size_t j = 0; j < cols; ++j) CHECK(grad[cols + j] == 0);
    if constexpr (Loss::has_labels) {
      labels[1] = -100;
      CHECK(std::isfinite(loss(student, teacher, labels, MatrixView{grad.data(), 3, cols})));
      labels[1] = 1;
    }
  }
}

TEST_CASE_TEMPLATE("an ignored row may hold NaN", Loss, DISTILL_TEST_LOSSES) {
  support::Scores<float, float> scores(support::Kind::random, 3, 9);
  for (std::size_t j = 0; j < 9; ++j) scores.student.set(1, j, not_a_number);
  const std::vector<float> weights{1, 0, 1};
  RowOptions options;
  options.weights = weights;
  support::Matrix<float> grad(3, 9);
  CHECK(std::isfinite(Loss{}(scores.student.view(), scores.teacher.view(), scores.labels, grad.view(), options)));
  for (std::size_t j = 0; j < 9; ++j) CHECK(grad.at(1, j) == 0);
}

// ------------------------------------------------------------------------------------- extreme scores, temperatures

TEST_CASE_TEMPLATE("huge scores", Loss, DISTILL_TEST_LOSSES) {
  const std::vector<std::vector<double>> rows{{3e38, -3e38, 0, 1},
                                              {3e38, 3e38, -3e38, 0},
                                              {-3e38, -3e38, -3e38, -3e38},
                                              {3e38, 3e38, 3e38, 3e38},
                                              {1e4, 0, 1, 2},
                                              {-1e4, 1e4, 5, 9999},
                                              {1e6, 1e6 - 1, 1e6 - 2, 0},
                                              {-1e6, -1e6 - 1, -1e6 - 2, -3e6},
                                              {4e9, 4e9 + 1024, 4e9 - 512, 0},
                                              {0, 0, 0, 3e38},
                                              {0, 0, 0, -3e38},
                                              {-1e9, 0, 1, -3.4e38}};
  for (const auto& student : rows) {
    for (const auto& teacher : rows) {
      for (const double temperature : {0.5, 1.0, 4.0, 100.0}) {
        for (const int label : {0, 3}) {
          for (const Precision precision : support::both_precisions) {
            Loss loss;
            loss.set_temperature(temperature);
            loss.loss.precision = precision;
            CAPTURE(student[0]);
            CAPTURE(student[3]);
            CAPTURE(teacher[0]);
            CAPTURE(teacher[3]);
            CAPTURE(temperature);
            CAPTURE(label);
            CAPTURE(precision == Precision::high);
            const double unit = Loss::has_temperature ? std::max(1.0, temperature) : 1;
            check_row<float>(loss, student, teacher, label, unit * unit, unit);
            check_row<double>(loss, student, teacher, label, unit * unit, unit);
          }
        }
      }
    }
  }
}

TEST_CASE("huge scores of which only a later one is huge, in softmax and log_softmax") {
  for (const double temperature : {1.0, 100.0, 1e6}) {
    for (const double top : {3e38, 1e9, -1e9}) {
      support::Matrix<float> x(1, 70), out(1, 70);
      x.set(0, 40, top);
      x.set(0, 50, -3e38);
      distill::softmax(x.view(), out.view(), temperature);
      const reference::Row p = reference::softmax(x.row(0), temperature);
      CAPTURE(temperature);
      CAPTURE(top);
      for (std::size_t j = 0; j < 70; ++j) {
        CHECK(std::abs(static_cast<double>(support::number(out.at(0, j)) - p[j])) <= 1e-6);
      }
      distill::log_softmax(x.view(), out.view(), temperature);
      const reference::Row log_p = reference::log_softmax(x.row(0), temperature);
      for (std::size_t j = 0; j < 70; ++j) {
        const auto expected = static_cast<double>(log_p[j]);
        CAPTURE(j);
        if (expected < -3.4e38) {
          CHECK(out.at(0, j) == -infinite_f);
        } else {
          CHECK(std::abs(static_cast<double>(out.at(0, j)) - expected) <= 1e-6 * std::max(1.0, std::abs(expected)));
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("masked scores: prefixes, gaps and ends", Loss, DISTILL_TEST_LOSSES) {
  const std::vector<double> masks{-1e9, -3.4e38, -infinite, -65504};
  for (const double mask : masks) {
    for (const std::size_t prefix : std::initializer_list<std::size_t>{1, 16, 64, 65, 130, 600}) {
      const std::size_t cols = prefix + 20;
      std::vector<double> student(cols, mask), teacher(cols, mask);
      for (std::size_t j = prefix; j < cols; ++j) {
        student[j] = static_cast<double>(j % 7) - 2;
        teacher[j] = static_cast<double>(j % 5);
      }
      student[cols - 1] = teacher[cols - 1] = mask;
      for (const Precision precision : support::both_precisions) {
        Loss loss;
        loss.loss.precision = precision;
        if (mask == -infinite && std::is_same_v<Loss, support::SmoothedCe>) continue;  // infinite by definition
        CAPTURE(mask);
        CAPTURE(prefix);
        const double t = Loss::has_temperature ? 4 : 1;
        check_row<float>(loss, student, teacher, static_cast<int>(prefix) + 1, t * t, t);
        check_row<double>(loss, student, teacher, static_cast<int>(prefix) + 1, t * t, t);
      }
    }
  }
}

TEST_CASE("KlDivergence at extreme temperatures") {
  const std::vector<double> student{1, 2, -3, 0.5, 0}, teacher{-1, 0.25, 3, 2, -2};
  reference::Row s, t;
  for (const double x : student) s.push_back(x);
  for (const double x : teacher) t.push_back(x);
  for (const Precision precision : support::both_precisions) {
    for (const double temperature : {1e6, 1e10, 1e30}) {
      support::Kl kl;
      kl.loss.precision = precision;
      kl.loss.temperature = temperature;
      const reference::Result expected = reference::scaled_kl_at_infinite_temperature(s, t, temperature);
      const double tolerance = temperature < 1e9 ? tolerances::limit_at_1e6 : tolerances::limit_at_1e30;
      CAPTURE(temperature);
      const auto check = [&](const Outcome& outcome) {
        CHECK(outcome.loss == doctest::Approx(static_cast<double>(expected.loss)).epsilon(tolerance));
        for (std::size_t j = 0; j < 5; ++j) {
          CHECK(std::abs(outcome.grad[j] - static_cast<double>(expected.gradient[j])) <= tolerance);
        }
      };
      check(one_row<float>(kl, student, teacher));
      check(one_row<double>(kl, student, teacher));
    }
    // All mass on the largest: T^2 KL -> T * (student's largest - its score at the teacher's largest)
    for (const double temperature : {1e-6, 1e-30}) {
      support::Kl kl;
      kl.loss.precision = precision;
      kl.loss.temperature = temperature;
      CAPTURE(temperature);
      const auto check = [&](const Outcome& outcome) {
        CHECK(outcome.loss == doctest::Approx(5 * temperature).epsilon(1e-6));
        const double g[] = {0, temperature, -temperature, 0, 0};
        for (std::size_t j = 0; j < 5; ++j) CHECK(std::abs(outcome.grad[j] - g[j]) <= 1e-6 * temperature);
      };
      check(one_row<float>(kl, student, teacher));
      check(one_row<double>(kl, student, teacher));
    }
  }
}

TEST_CASE("KnowledgeDistillation at extreme temperatures") {
  const std::vector<double> student{1, 2, -3, 0.5, 0}, teacher{-1, 0.25, 3, 2, -2};
  reference::Row s, t;
  for (const double x : student) s.push_back(x);
  for (const double x : teacher) t.push_back(x);
  const reference::Result ce = reference::cross_entropy(s, 1);
  for (const double temperature : {1e-30, 1e-6, 1e6, 1e30}) {
    const reference::Result kl = reference::scaled_kl_at_infinite_temperature(s, t, temperature);
    support::Kd kd;
    kd.loss.alpha = 0.5;
    kd.loss.temperature = temperature;
    const double soft = temperature > 1 ? static_cast<double>(kl.loss) : 5 * temperature;
    const Outcome outcome = one_row<float>(kd, student, teacher, 1);
    CAPTURE(temperature);
    CHECK(outcome.loss ==
          doctest::Approx(0.5 * (soft + static_cast<double>(ce.loss))).epsilon(tolerances::limit_at_1e6));
    for (std::size_t j = 0; j < 5; ++j) {
      const double soft_gradient = temperature > 1 ? static_cast<double>(kl.gradient[j]) : 0;
      CHECK(std::abs(outcome.grad[j] - 0.5 * (soft_gradient + static_cast<double>(ce.gradient[j]))) <= 1e-5);
    }
  }
}

TEST_CASE("a class that the teacher all but excludes and the student is sure of, at a large temperature") {
  support::Kl kl;
  kl.loss.temperature = 2048;
  // p_2 = exp(-11380) is subnormal in long double, q_2 / p_2 overflows there
  const Outcome outcome = one_row<double>(kl, {-102400, 0}, {0, -11380.0 * 2048});
  CHECK(outcome.loss == doctest::Approx(2048.0 * 2048 * 50));
  CHECK(outcome.grad[0] == doctest::Approx(-2048));
  CHECK(outcome.grad[1] == doctest::Approx(2048));
}

TEST_CASE("softmax and its derivative at extreme temperatures") {
  const std::vector<float> x{1, 2, -3, 0.5f};
  const std::vector<float> g{1, -1, 2, 0};
  std::vector<float> out(4), grad(4);
  const MatrixView view{x.data(), 1, 4};
  const MatrixView out_view{out.data(), 1, 4};
  for (const double temperature : {1e-30, 1e-6, 1e6, 1e30}) {
    CAPTURE(temperature);
    distill::softmax(view, out_view, temperature);
    for (std::size_t j = 0; j < 4; ++j) {
      CHECK(std::abs(static_cast<double>(out[j]) - (temperature > 1 ? 0.25 : j == 1 ? 1 : 0)) <= 1e-6);
    }
    distill::softmax_backward(out_view, MatrixView{g.data(), 1, 4}, MatrixView{grad.data(), 1, 4}, temperature);
    for (std::size_t j = 0; j < 4; ++j) {
      const double expected = temperature > 1 ? 0.25 * (static_cast<double>(g[j]) - 0.5) / temperature : 0;
      CHECK(std::abs(static_cast<double>(grad[j]) - expected) <= 1e-5 / std::max(1.0, temperature));
    }
    distill::log_softmax(view, out_view, temperature);
    for (std::size_t j = 0; j < 4; ++j) {
      const double expected = temperature > 1 ? -std::log(4.0) : (static_cast<double>(x[j]) - 2) / temperature;
      CHECK(static_cast<double>(out[j]) == doctest::Approx(expected).epsilon(1e-5));
    }
  }
}

TEST_CASE_TEMPLATE("temperatures beyond float's range", T, float, double) {
  const std::vector<T> student{1, 2, 3}, teacher{3, 2, 2}, zeros{0, 0, 0}, one_hot{0, 1, 0}, g{1, 2, 3};
  std::vector<T> grad(3);
  const MatrixView s{student.data(), 1, 3}, t{teacher.data(), 1, 3};
  const MatrixView out{grad.data(), 1, 3};
  for (const double temperature : {1e10, 1e38, 1e39, 1e100, 1e150}) {
    CAPTURE(temperature);
    CHECK(distill::BinaryKl{.temperature = temperature}(s, t, out) == doctest::Approx(5 / 8.0));
    CHECK(grad[0] == doctest::Approx(-0.5));
    CHECK(grad[1] == 0);
    CHECK(grad[2] == doctest::Approx(0.25));
    CHECK(distill::JensenShannon{.temperature = temperature}(s, t) == doctest::Approx(7 / 36.0));
  }
  const MatrixView hot{one_hot.data(), 1, 3};
  const auto check_no_gradient = [&] {
    for (T& x : grad) {
      CHECK(x == 0);
      x = 77;
    }
  };
  for (const double temperature : {1e-30, 1e-39, 1e-45, 1e-100, 1e-150}) {
    CAPTURE(temperature);
    grad.assign(3, 77);
    distill::Dist{.temperature = temperature}(s, t, out);
    check_no_gradient();
    distill::MultiLevel{.temperature = temperature}(s, t, out);
    check_no_gradient();
    distill::UniversalLogit{.temperature = temperature}(s, t, out);
    check_no_gradient();
    distill::BinaryKl{.temperature = temperature}(s, t, out);
    check_no_gradient();
    distill::softmax_backward(hot, MatrixView{g.data(), 1, 3}, out, temperature);
    check_no_gradient();
    distill::log_softmax_backward(s, MatrixView{zeros.data(), 1, 3}, out, temperature);
    check_no_gradient();
  }
  // where the quotient is a number
  const std::vector<T> third{T(0.25), T(0.25), T(0.5)}, small{T(4e-5), 0, 0};
  distill::softmax_backward(MatrixView{third.data(), 1, 3}, MatrixView{small.data(), 1, 3}, out, 1e-40);
  CHECK(static_cast<double>(grad[0]) / 7.5e34 == doctest::Approx(1));
}
