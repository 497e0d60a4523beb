#include <doctest/doctest.h>
#include <distill/attention/attention_transfer.hpp>

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

using distill::AttentionDistance;
using distill::AttentionTransfer;
using distill::FeatureMapView;
using distill::Reduction;
using distill::RowOptions;

constexpr AttentionDistance both_distances[] = {AttentionDistance::squared, AttentionDistance::euclidean};

struct Shape {
  std::size_t channels, height, width;
  std::size_t size() const { return channels * height * width; }
};

AttentionTransfer transfer(double power, AttentionDistance distance) {
  AttentionTransfer loss;
  loss.power = power;
  loss.distance = distance;
  return loss;
}

/// A matrix's rows as N x C x H x W.
template <class Matrix>
auto maps(Matrix& m, Shape shape) {
  auto view = m.view();
  FeatureMapView result{view.data, view.rows, shape.channels, shape.height, shape.width};
  result.batch_stride = view.row_stride;
  return result;
}

reference::Maps sample(const reference::Row& row, Shape shape) {
  return {row, shape.channels, shape.height, shape.width};
}

template <class S, class T>
struct Problem {
  Shape student_shape, teacher_shape;
  support::Matrix<S> student;
  support::Matrix<T> teacher;

  Problem(std::size_t batch, Shape s, Shape t)
      : student_shape(s),
        teacher_shape(t),
        student(support::Scores<S, S>(support::Kind::random, batch, s.size(), 1, 3, 1).student),
        teacher(support::Scores<T, T>(support::Kind::random, batch, t.size(), 2, 2, 1).teacher) {}

  auto student_maps() { return maps(student, student_shape); }
  auto teacher_maps() { return maps(teacher, teacher_shape); }
};

template <class S, class T>
void check(const AttentionTransfer& loss, Problem<S, T>& problem, const std::vector<float>& row_weights = {}) {
  using Compute = distill::detail::compute_t<S, T>;
  const Shape s = problem.student_shape, t = problem.teacher_shape;
  support::Expected expected;
  long double largest = 0;
  for (std::size_t i = 0; i < problem.student.rows(); ++i) {
    expected.rows.push_back(
        reference::attention_transfer(loss, sample(problem.student.row(i), s), sample(problem.teacher.row(i), t)));
    for (const long double g : expected.rows.back().gradient) largest = std::max(largest, std::abs(g));
  }
  expected.gradient_unit = largest * tolerances::attention_gradient;
  const bool euclidean = loss.distance == AttentionDistance::euclidean;
  support::Matrix<S> grad(problem.student.rows(), s.size(), s.size() + 3, 2);
  grad.fill(123);  // is overwritten
  support::check_loss<Compute>(
      grad, expected,
      {loss.weight, loss.reduction, row_weights,
       euclidean ? 1 : std::min(s.height, t.height) * std::min(s.width, t.width)},
      [&](auto view, const RowOptions& options) {
        FeatureMapView target{view.data, view.rows, s.channels, s.height, s.width};
        target.batch_stride = view.row_stride;
        return loss(problem.student_maps(), problem.teacher_maps(), target, options);
      },
      [&](const RowOptions& options) { return loss(problem.student_maps(), problem.teacher_maps(), options); });
}

const std::initializer_list<std::pair<Shape, Shape>> shapes = {
    {{1, 1, 2}, {1, 1, 2}}, {{3, 4, 4}, {5, 4, 4}}, {{20, 5, 7}, {9, 5, 7}},  {{2, 7, 5}, {3, 3, 2}},
    {{3, 2, 3}, {2, 8, 5}}, {{2, 6, 2}, {4, 3, 4}}, {{1, 13, 1}, {2, 13, 1}}, {{4, 16, 16}, {3, 8, 8}},
};

void check_golden(const std::string& name, AttentionTransfer loss) {
  for (const auto& golden : support::golden_cases(name)) {
    CAPTURE(name);
    CAPTURE(golden.at("name").get<std::string>());
    if (golden.at("params").contains("p")) loss.power = golden.at("params").at("p").get<double>();
    const auto array = [&](const char* input) {
      auto data = golden.at("inputs").at(input).at("data").get<std::vector<double>>();
      const auto shape = golden.at("inputs").at(input).at("shape").get<std::vector<std::size_t>>();
      return std::pair{data, shape};
    };
    auto [student, s] = array("student");
    auto [teacher, t] = array("teacher");
    std::vector<double> grad(student.size(), 42);
    const double value = loss(FeatureMapView{student.data(), s[0], s[1], s[2], s[3]},
                              FeatureMapView{teacher.data(), t[0], t[1], t[2], t[3]},
                              FeatureMapView{grad.data(), s[0], s[1], s[2], s[3]});
    support::check_golden_loss(golden, value);
    support::check_golden_gradient(golden, grad);
  }
}

/// N x C x H x W to N x H x W x C.
template <class T>
std::vector<T> channels_last(const std::vector<T>& data, std::size_t batch, Shape shape) {
  std::vector<T> result(data.size());
  const std::size_t positions = shape.height * shape.width;
  for (std::size_t n = 0; n < batch; ++n) {
    for (std::size_t c = 0; c < shape.channels; ++c) {
      for (std::size_t p = 0; p < positions; ++p) {
        result[(n * positions + p) * shape.channels + c] = data[(n * shape.channels + c) * positions + p];
      }
    }
  }
  return result;
}

}  // namespace

TEST_CASE_TEMPLATE("AttentionTransfer: value and gradient are the reference's", Types, DISTILL_TEST_FEW_TYPE_PAIRS) {
  for (const auto& [student, teacher] : shapes) {
    Problem<typename Types::Student, typename Types::Teacher> problem(3, student, teacher);
    for (const AttentionDistance distance : both_distances) {
      for (const double power : {1.0, 2.0, 3.0, 4.0, 2.5}) {
        CAPTURE(student.channels);
        CAPTURE(student.height);
        CAPTURE(power);
        check(transfer(power, distance), problem);
      }
    }
  }
}

TEST_CASE_TEMPLATE("AttentionTransfer: every option", S, DISTILL_TEST_TYPES) {
  Problem<S, S> problem(5, {3, 4, 5}, {2, 4, 5});
  for (const AttentionDistance distance : both_distances) {
    for (const Reduction reduction : support::all_reductions) {
      for (const double weight : {1.0, 0.0, 2.5, -0.25}) {
        AttentionTransfer loss = transfer(2, distance);
        loss.reduction = reduction;
        loss.weight = weight;
        check(loss, problem);
        check(loss, problem, {0.5f, 0, 2, 0.25f, 1});
      }
    }
  }
}

TEST_CASE("AttentionTransfer: the gradient is that of the value") {
  for (const auto& [student, teacher] : shapes) {
    const Shape s = student;
    if (s.size() > 1000) continue;  // differences of each element by each other would take most of the test
    Problem<double, double> problem(1, student, teacher);
    const reference::Maps target = sample(problem.teacher.row(0), teacher);
    for (const AttentionDistance distance : both_distances) {
      for (const double power : {2.0, 3.0, 2.5}) {
        AttentionTransfer loss = transfer(power, distance);
        loss.reduction = Reduction::sum;
        support::Matrix<double> grad(1, s.size());
        loss(problem.student_maps(), problem.teacher_maps(), maps(grad, s));
        support::check_gradient(
            [&](const reference::Row& x) { return reference::attention_transfer(loss, sample(x, s), target).loss; },
            problem.student.row(0), grad.row(0), tolerances::finite_difference);
      }
    }
  }
}

TEST_CASE("AttentionTransfer: golden vectors") {
  check_golden("attention_transfer.repdistiller", {});
  check_golden("attention_transfer.mdistiller", {});
  check_golden("attention_transfer.mmrazor", {});
  check_golden("attention_transfer.torchdistill", {});
  check_golden("attention_transfer_paper.torchdistill", transfer(2, AttentionDistance::euclidean));
}

TEST_CASE_TEMPLATE("AttentionTransfer: N x H x W x C and other strides", S, float, double, distill::bfloat16) {
  constexpr std::size_t batch = 2;
  const auto random = [&](Shape shape, unsigned seed) {
    const support::Scores<S, S> scores(support::Kind::random, batch, shape.size(), seed);
    std::vector<S> result;
    for (std::size_t i = 0; i < batch; ++i) {
      for (std::size_t j = 0; j < shape.size(); ++j) result.push_back(scores.student.at(i, j));
    }
    return result;
  };
  for (const auto& [s, t] : shapes) {
    for (const double power : {2.0, 3.0}) {
      const AttentionTransfer loss = transfer(power, AttentionDistance::squared);
      const std::vector<S> student = random(s, 1), teacher = random(t, 2);
      const std::vector<S> student_last = channels_last(student, batch, s),
                           teacher_last = channels_last(teacher, batch, t);
      std::vector<S> grad(student.size()), grad_last(student.size());
      const FeatureMapView first{student.data(), batch, s.channels, s.height, s.width};
      const auto last = distill::nhwc(student_last.data(), batch, s.height, s.width, s.channels);
      const double expected = loss(first, FeatureMapView{teacher.data(), batch, t.channels, t.height, t.width},
                                   FeatureMapView{grad.data(), batch, s.channels, s.height, s.width});
      const auto close = [&](double x, double y) { return std::abs(x - y) <= 4e-6 * std::max(1.0, std::abs(y)); };
      const auto check_grad = [&](const std::vector<S>& actual, const std::vector<S>& wanted) {
        double largest = 0, worst = 0;
        for (std::size_t k = 0; k < wanted.size(); ++k) {
          const auto a = static_cast<double>(support::number(actual[k])),
                     w = static_cast<double>(support::number(wanted[k]));
          largest = std::max(largest, std::abs(w));
          worst = std::abs(a - w) <= worst ? worst : std::abs(a - w);
        }
        CHECK(worst <= (std::is_same_v<S, distill::bfloat16> ? tolerances::bfloat16_rounding : 4e-6) * largest + 1e-12);
      };
      CHECK(close(loss(last, distill::nhwc(teacher_last.data(), batch, t.height, t.width, t.channels),
                       distill::nhwc(grad_last.data(), batch, s.height, s.width, s.channels)),
                  expected));
      check_grad(grad_last, channels_last(grad, batch, s));
      // student and gradient in different orders
      std::vector<S> mixed(student.size());
      CHECK(close(loss(last, FeatureMapView{teacher.data(), batch, t.channels, t.height, t.width},
                       FeatureMapView{mixed.data(), batch, s.channels, s.height, s.width}),
                  expected));
      check_grad(mixed, grad);
      // every second number of a larger buffer, the rest of which stays as it is
      std::vector<S> wide(2 * student.size(), support::stored<S>(77)), wide_grad = wide;
      for (std::size_t k = 0; k < student.size(); ++k) wide[2 * k] = student[k];
      const auto spread = [&](S* data) {
        return FeatureMapView{data, batch, s.channels, s.height, s.width, 2, 2 * s.height * s.width, 2 * s.size()};
      };
      CHECK(close(loss(spread(wide.data()), FeatureMapView{teacher.data(), batch, t.channels, t.height, t.width},
                       spread(wide_grad.data())),
                  expected));
      std::vector<S> gathered;
      for (std::size_t k = 0; k < student.size(); ++k) {
        gathered.push_back(wide_grad[2 * k]);
        CHECK(support::number(wide_grad[2 * k + 1]) == 77);
      }
      check_grad(gathered, grad);
    }
  }
}

TEST_CASE("AttentionTransfer: a slice of the channels of a larger map, gradient beside it") {
  // 2 x 6 channels x 3 positions: channels 0 to 3 are the student's, the gradient goes to 4 and 5 ... and not elsewhere
  std::vector<float> memory(2 * 6 * 3, 0.5f);
  for (std::size_t k = 0; k < memory.size(); ++k) memory[k] = static_cast<float>(k % 7);
  std::vector<float> teacher(2 * 2 * 3, 1);
  teacher[0] = 3;
  FeatureMapView student{memory.data(), 2, 2, 3};
  student.batch_stride = 18;
  FeatureMapView grad{memory.data() + 12, 2, 2, 3};
  grad.batch_stride = 18;
  const std::vector<float> before = memory;
  CHECK(AttentionTransfer{}(student, FeatureMapView{teacher.data(), 2, 2, 3}, grad) > 0);
  for (std::size_t k = 0; k < memory.size(); ++k) {
    if (k % 18 < 12) CHECK(memory[k] == before[k]);
  }
}

TEST_CASE("AttentionTransfer: maps do not change with the scale of what they come from") {
  Problem<double, double> small(2, {3, 4, 4}, {2, 2, 3});
  for (const double power : {2.0, 4.0, 7.5, 64.0}) {
    for (const double size : {1e-36, 1e-3, 1e30}) {
      CAPTURE(power);
      CAPTURE(size);
      Problem<float, float> scaled(2, {3, 4, 4}, {2, 2, 3});
      for (std::size_t i = 0; i < 2; ++i) {
        for (std::size_t j = 0; j < scaled.student.cols(); ++j) {
          scaled.student.set(i, j, static_cast<double>(static_cast<float>(small.student.at(i, j))) * size);
          small.student.set(i, j, static_cast<double>(scaled.student.at(i, j)) / size);
        }
        for (std::size_t j = 0; j < scaled.teacher.cols(); ++j) {
          scaled.teacher.set(i, j, static_cast<double>(static_cast<float>(small.teacher.at(i, j))));
          small.teacher.set(i, j, static_cast<double>(scaled.teacher.at(i, j)));
        }
      }
      support::Matrix<float> grad(2, 48);
      support::Matrix<double> expected(2, 48);
      AttentionTransfer loss = transfer(power, AttentionDistance::squared);
      const double value = loss(small.student_maps(), small.teacher_maps(), maps(expected, {3, 4, 4}));
      loss.weight = size;
      CHECK(loss(scaled.student_maps(), scaled.teacher_maps(), maps(grad, {3, 4, 4})) / size ==
            doctest::Approx(value).epsilon(1e-4));
      double largest = 0, worst = 0;
      for (std::size_t i = 0; i < 2; ++i) {
        for (std::size_t j = 0; j < 48; ++j) {
          largest = std::max(largest, std::abs(expected.at(i, j)));
          worst = std::max(worst, std::abs(static_cast<double>(grad.at(i, j)) - expected.at(i, j)));
        }
      }
      CHECK(worst <= 1e-3 * largest);
    }
  }
}

TEST_CASE("AttentionTransfer: zeros and equal maps") {
  std::vector<float> zeros(2 * 3 * 4), ones(2 * 3 * 4, 1), grad(2 * 3 * 4, 42);
  const auto view = [](std::vector<float>& v) { return FeatureMapView{v.data(), 2, 3, 2, 2}; };
  for (const AttentionDistance distance : both_distances) {
    AttentionTransfer loss = transfer(2, distance);
    loss.reduction = Reduction::mean;
    CHECK(loss(view(zeros), view(ones), view(grad)) == doctest::Approx(1));  // |0 - v|^2 of a unit map v
    CHECK(grad == zeros);
    CHECK(std::isfinite(loss(view(ones), view(zeros), view(grad))));
    for (const float g : grad) CHECK(std::abs(g) < 1e-6f);
    CHECK(loss(view(zeros), view(zeros), view(grad)) == 0);
    CHECK(grad == zeros);
    CHECK(loss(view(ones), view(ones), view(grad)) == 0);
    CHECK(grad == zeros);
  }
}

TEST_CASE("AttentionTransfer: what does not fit throws before anything is written") {
  std::vector<float> memory(200, 1), grad(2 * 3 * 4, 42);
  const FeatureMapView student{memory.data(), 2, 3, 2, 2};
  const FeatureMapView teacher{memory.data() + 100, 2, 5, 2, 2};
  const FeatureMapView target{grad.data(), 2, 3, 2, 2};
  const AttentionTransfer loss;
  const auto throws = [&](const auto& f, const char* message) {
    support::check_throws(f, {"AttentionTransfer: ", message});
  };
  for (const double power : {0.5, 0.0, -2.0, 65.0, std::numeric_limits<double>::quiet_NaN()}) {
    throws([&] { transfer(power, AttentionDistance::squared)(student, teacher, target); }, "power is ");
  }
  throws([&] { transfer(2, static_cast<AttentionDistance>(9))(student, teacher, target); }, "distance is 9");
  throws(
      [&] {
        loss(student, FeatureMapView{memory.data() + 100, 3, 5, 2, 2}, target);
      },
      "teacher has a batch of 3, student of 2");
  throws([&] { loss(FeatureMapView{memory.data(), 2, 0, 2, 2}, teacher, target); }, "student has 0 channels");
  throws([&] { loss(FeatureMapView{memory.data(), 2, 3, 2, 0}, teacher, target); }, "student has maps of 2 x 0");
  throws(
      [&] {
        loss(student, FeatureMapView{static_cast<const float*>(nullptr), 2, 5, 2, 2}, target);
      },
      "teacher is null");
  throws(
      [&] {
        loss(student, teacher, FeatureMapView{grad.data(), 2, 3, 4, 1});
      },
      "grad is 2 x 3 x 4 x 1, student is 2 x 3 x 2 x 2");
  throws([&] { loss(student, teacher, FeatureMapView{memory.data() + 1, 2, 3, 2, 2}); }, "grad overlaps student");
  throws([&] { loss(student, teacher, FeatureMapView{memory.data() + 99, 2, 3, 2, 2}); }, "grad overlaps teacher");
  throws([&] { loss(student, teacher, distill::nhwc(memory.data(), 2, 2, 2, 3)); }, "grad overlaps student");
  FeatureMapView folded = target;
  folded.channel_stride = 3;
  throws([&] { loss(student, teacher, folded); },
         "grad has strides 12 (batch), 3 (channel), 1 (position), expected strides");
  FeatureMapView endless = student;
  endless.batch_stride = std::numeric_limits<std::size_t>::max() / 2;
  throws([&] { loss(endless, teacher, target); }, "student has strides beyond memory");
  const std::vector<float> negative{1, -1};
  RowOptions options;
  options.weights = negative;
  throws([&] { loss(student, teacher, target, options); }, "weights[1] is -1");
  AttentionTransfer infinite;
  infinite.weight = std::numeric_limits<double>::infinity();
  throws([&] { infinite(student, teacher, target); }, "weight is inf");
  CHECK(grad == std::vector<float>(24, 42));
  CHECK(memory == std::vector<float>(200, 1));
}
