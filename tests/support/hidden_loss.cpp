#include "support/hidden_loss.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "support/gradient_check.hpp"
#include "support/guarded.hpp"
#include "support/loss_check.hpp"
#include "support/threads.hpp"
#include "support/tolerances.hpp"

namespace support {

namespace {

using distill::MatrixView;
using distill::Reduction;
using distill::RowOptions;
using reference::Row;

Problem random_problem(const HiddenLoss& loss, Scalar scalar, Kind kind, std::size_t samples, unsigned seed = 1) {
  const std::size_t cols = std::max(loss.student_size, loss.teacher_size);
  Problem problem = make_problem(scalar, kind, samples, cols, seed);
  for (std::size_t i = 0; i < samples; ++i) {
    problem.student[i].resize(loss.student_size);
    problem.teacher[i].resize(loss.teacher_size);
  }
  return problem;
}

std::vector<long double> weights_of(const Problem& problem, const Call& call) {
  std::vector<long double> weights(problem.rows(), 1);
  for (std::size_t i = 0; i < call.row_weights.size(); ++i) weights[i] = static_cast<long double>(call.row_weights[i]);
  return weights;
}

/// What the reduction divides a sum over samples by.
long double divisor(const HiddenLoss& loss, const std::vector<long double>& weights, Reduction reduction) {
  if (reduction == Reduction::sum) return 1;
  const long double total_weight = std::accumulate(weights.begin(), weights.end(), 0.0L);
  return total_weight * (reduction == Reduction::per_element ? static_cast<long double>(loss.sum_terms) : 1.0L);
}

/// With weight 1, by the formula, without the samples of weight 0.
long double expected_value(const HiddenLoss& loss, const Problem& problem, const std::vector<long double>& weights,
                           Reduction reduction) {
  std::vector<Row> student, teacher;
  std::vector<long double> live;
  long double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    student.push_back(problem.student[i]);
    teacher.push_back(problem.teacher[i]);
    live.push_back(weights[i]);
    if (loss.sample) sum += weights[i] * loss.sample(problem.student[i], problem.teacher[i]);
  }
  if (live.empty()) return 0;
  if (!loss.sample) return loss.formula(student, teacher, live, reduction);
  return sum / divisor(loss, weights, reduction);
}

std::vector<Row> expected_gradient(const HiddenLoss& loss, Problem problem, const std::vector<long double>& weights,
                                   Reduction reduction) {
  std::vector<Row> gradient;
  for (std::size_t i = 0; i < problem.rows(); ++i) {
    if (weights[i] == 0) {
      gradient.emplace_back(problem.cols());
      continue;
    }
    // Where samples are apart, the others are left out: they cost time and change nothing.
    const long double share = loss.sample ? weights[i] / divisor(loss, weights, reduction) : 1;
    const auto f = [&](const Row& student) {
      if (loss.sample) return share * loss.sample(student, problem.teacher[i]);
      problem.student[i] = student;
      return expected_value(loss, problem, weights, reduction);
    };
    const Row student = problem.student[i];
    gradient.push_back(central_differences(f, student, tolerances::family_step));
    problem.student[i] = student;
  }
  return gradient;
}

long double largest_of(const std::vector<Row>& rows) {
  long double largest = 0;
  for (const Row& row : rows) {
    for (const long double x : row) largest = std::max(largest, std::abs(x));
  }
  return largest;
}

struct Bounds {
  double value, gradient;
  double relative = 0;  // of stored gradients
  double smallest = 0;
};
Bounds bounds(const HiddenLoss& loss, Scalar scalar) {
  using namespace tolerances;
  const double value = loss.tolerance * hidden_value, gradient = loss.tolerance * family_gradient;
  switch (scalar) {
    case Scalar::float64:
      return {hidden_double, finite_difference, 0, 0};
    case Scalar::half:
      return {value, gradient, half_rounding, half_smallest};
    case Scalar::bfloat16:
      return {value, gradient, bfloat16_rounding, 0};
    default:
      return {value, gradient, float_rounding, 0};
  }
}

/// Compares a whole result with the formula. Where student and teacher nearly agree, the bounds are those of a student
/// of the same size that does not.
void check_answer(const HiddenLoss& loss, const Problem& problem, const Call& call, const Problem& usual) {
  if (reference::is_slow && problem.scalar != Scalar::float32) return;
  const Answer answer = loss.call(problem, call);
  const Bounds bound = bounds(loss, problem.scalar);
  const std::vector<long double> weights = weights_of(problem, call);
  const Reduction reduction = call.fields.reduction;
  const long double scale = call.fields.weight;

  const auto close = [](double actual, long double expected, long double allowed) {
    return static_cast<double>(std::abs(actual - expected)) <= static_cast<double>(allowed);
  };
  const long double value = scale * expected_value(loss, problem, weights, reduction);
  const long double value_bound =
      bound.value * std::max(std::abs(value), std::abs(scale * expected_value(loss, usual, weights, reduction)));
  CAPTURE(static_cast<double>(value));
  CHECK(close(answer.value, value, value_bound));
  CHECK(close(answer.value_only, value, value_bound));
  CHECK(answer.guards_are_whole);

  long double sum = 0;
  for (std::size_t i = 0; i < problem.rows(); ++i) {
    sum += weights[i] * answer.losses[i];
    if (weights[i] == 0) CHECK(answer.losses[i] == 0);
    if (loss.is_nonnegative) CHECK(answer.losses[i] >= 0);
    if (loss.sample && weights[i] != 0) {
      const long double expected = loss.sample(problem.student[i], problem.teacher[i]);
      const long double unit = std::max(std::abs(expected), std::abs(loss.sample(usual.student[i], usual.teacher[i])));
      CHECK(close(answer.losses[i], expected, bound.value * unit));
    }
  }
  const long double expected_sum = expected_value(loss, problem, weights, Reduction::sum);
  CHECK(close(
      static_cast<double>(sum), expected_sum,
      bound.value * std::max(std::abs(expected_sum), std::abs(expected_value(loss, usual, weights, Reduction::sum)))));

  const std::vector<Row> gradient = expected_gradient(loss, problem, weights, reduction);
  long double largest = largest_of(gradient);
  if (&usual != &problem) largest = std::max(largest, largest_of(expected_gradient(loss, usual, weights, reduction)));
  const long double before = call.target == Target::add ? added_to : 0;
  long double worst = 0;
  for (std::size_t i = 0; i < problem.rows(); ++i) {
    for (std::size_t j = 0; j < problem.cols(); ++j) {
      const long double e = before + scale * gradient[i][j];
      const long double allowed =
          bound.gradient * std::abs(scale) * largest + bound.relative * 2 * (std::abs(e) + before) + bound.smallest;
      const long double difference = std::abs(answer.gradient[i][j] - e);
      if (difference == 0) continue;
      const long double error = difference / allowed;
      worst = error <= worst ? worst : error;  // NaN is the worst
    }
  }
  CHECK(static_cast<double>(worst) <= 1);
}

void check_values_and_gradients(const HiddenLoss& loss) {
  for (const Scalar scalar : loss.scalars) {
    CAPTURE(name(scalar));
    const Problem random = random_problem(loss, scalar, Kind::random, loss.samples);
    for (const Kind kind : all_kinds) {
      if (loss.has_kinks && (kind == Kind::near || kind == Kind::equal)) continue;
      CAPTURE(support::name(kind));
      const Problem problem = random_problem(loss, scalar, kind, loss.samples);
      check_answer(loss, problem, {}, random);
    }
    for (const Reduction reduction : all_reductions) {
      CAPTURE(static_cast<int>(reduction));
      std::vector<float> weights{0.5f, 0, 2, 0.25f, 1};
      weights.resize(loss.samples, 1);
      check_answer(loss, random, {{-0.25, reduction}}, random);
      check_answer(loss, random, {{1, reduction}, weights}, random);
    }
    check_answer(loss, random, {{1, Reduction::sum}, {}, Target::in_place}, random);
    check_answer(loss, random, {{1, Reduction::sum}, {}, Target::add}, random);
    const Answer ignored = loss.call(random, {{}, std::vector<float>(loss.samples, 0)});
    CHECK(ignored.value == 0);
    for (const auto& row : ignored.gradient) CHECK(row == std::vector<double>(loss.student_size));
    const Answer single = loss.call(random_problem(loss, scalar, Kind::random, 1), {});
    CHECK(std::isfinite(single.value));
    for (const double g : single.gradient[0]) CHECK(std::isfinite(g));
    if (loss.single_sample_is_zero) {
      CHECK(single.value == 0);
      CHECK(single.gradient[0] == std::vector<double>(loss.student_size));
    }
  }
}

void check_zeros(const HiddenLoss& loss) {
  for (const Scalar scalar : loss.scalars) {
    CAPTURE(name(scalar));
    const Problem random = random_problem(loss, scalar, Kind::random, loss.samples);
    Problem zero_sample = random, all_zero = random, equal_samples = random;
    zero_sample.student[1] = Row(loss.student_size);
    zero_sample.teacher[2] = Row(loss.teacher_size);
    equal_samples.student[1] = equal_samples.student[0];
    equal_samples.teacher[2] = equal_samples.teacher[0];
    for (Row& row : all_zero.student) row = Row(loss.student_size);
    for (Row& row : all_zero.teacher) row = Row(loss.teacher_size);
    for (const Problem& problem : {zero_sample, all_zero, equal_samples}) {
      const Answer answer = loss.call(problem, {});
      CHECK(std::isfinite(answer.value));
      CHECK(answer.value == answer.value_only);
      for (const auto& row : answer.gradient) {
        for (const double g : row) CHECK(std::abs(g) < 1e4);
      }
    }
    const std::vector<double> zeros(loss.student_size);
    if (loss.zero_sample_has_no_gradient) {
      CHECK(loss.call(zero_sample, {}).gradient[1] == zeros);
      for (const auto& row : loss.call(all_zero, {}).gradient) CHECK(row == zeros);
    }
    if (loss.equal_samples_have_no_gradient) {
      Problem all_equal = random;
      for (Row& row : all_equal.student) row = random.student[0];
      for (const auto& row : loss.call(all_equal, {}).gradient) CHECK(row == zeros);
    }
  }
}

void check_executors(const HiddenLoss& loss) {
  const Problem problem = random_problem(loss, Scalar::float32, Kind::random, 37, 6);
  const Answer sequential = loss.call(problem, {});
  const Backwards backwards;
  const Threads threads{3};
  for (const distill::Executor executor : {distill::Executor(backwards), distill::Executor(threads)}) {
    const Answer answer = loss.call(problem, {{}, {}, Target::overwrite, executor});
    CHECK(answer.value == sequential.value);
    CHECK(answer.losses == sequential.losses);
    CHECK(answer.gradient == sequential.gradient);
  }
}

void check_poison(const HiddenLoss& loss) {
  constexpr long double nan = std::numeric_limits<long double>::quiet_NaN();
  for (const Scalar scalar : loss.scalars) {
    const Problem clean = random_problem(loss, scalar, Kind::random, loss.samples);
    const Answer expected = loss.call(clean, {{1, Reduction::sum}});
    for (const long double poison : {nan, std::numeric_limits<long double>::infinity()}) {
      for (const bool in_teacher : {false, true}) {
        CAPTURE(in_teacher);
        Problem dirty = clean;
        (in_teacher ? dirty.teacher : dirty.student)[1].front() = poison;
        const Answer answer = loss.call(dirty, {{1, Reduction::sum}});
        CHECK(std::isnan(answer.value));
        std::vector<float> weights(loss.samples, 1);
        weights[1] = 0;
        const Answer ignored = loss.call(dirty, {{1, Reduction::sum}, weights});
        CHECK(std::isfinite(ignored.value));
        CHECK(ignored.gradient[1] == std::vector<double>(loss.student_size));
        if (loss.poisons_batch) continue;
        CHECK(std::isnan(answer.losses[1]));
        for (const double g : answer.gradient[1]) CHECK(std::isnan(g));
        for (std::size_t i = 0; i < loss.samples; ++i) {
          if (i == 1) continue;
          CHECK(answer.losses[i] == expected.losses[i]);
          CHECK(answer.gradient[i] == expected.gradient[i]);
        }
      }
    }
  }
}

void check_memory(const HiddenLoss& loss) {
  // an ignored sample is in memory without access
  Pages student(3), teacher(3);
  const std::size_t stride = student.page_size() / sizeof(float);
  REQUIRE(std::max(loss.student_size, loss.teacher_size) <= stride);
  const Problem problem = random_problem(loss, Scalar::float32, Kind::random, 3);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < loss.student_size; ++j)
      student.at<float>(i)[j] = static_cast<float>(problem.student[i][j]);
    for (std::size_t j = 0; j < loss.teacher_size; ++j)
      teacher.at<float>(i)[j] = static_cast<float>(problem.teacher[i][j]);
  }
  student.close(1);
  teacher.close(1);
  const MatrixView<const float> s{student.at<float>(0), 3, loss.student_size, stride};
  const MatrixView<const float> t{teacher.at<float>(0), 3, loss.teacher_size, stride};
  std::vector<float> grad(3 * loss.student_size, 42), weights{1, 0, 1};
  RowOptions options;
  options.weights = weights;
  CHECK(std::isfinite(loss.raw_call(s, t, {{grad.data(), 3, loss.student_size}}, options)));
  for (std::size_t j = 0; j < loss.student_size; ++j) CHECK(grad[loss.student_size + j] == 0);
  CHECK(loss.raw_call({nullptr, 0, loss.student_size}, {nullptr, 0, loss.teacher_size},
                      {{nullptr, 0, loss.student_size}}, {}) == 0);
}

void check_mistakes(const HiddenLoss& loss) {
  const std::size_t n = loss.student_size, m = loss.teacher_size;
  std::vector<float> memory(6 * n + 6, 1), teacher(2 * m + 2 * n, 2), weights{1, -1};
  const std::vector<float> before = memory;
  const MatrixView<float> student{memory.data() + 2 * n, 2, n};
  const MatrixView<const float> s = distill::detail::read_only(student), t{teacher.data(), 2, m};
  const auto throws = [&](const auto& f, const char* message) { check_throws(f, {loss.name, message}); };
  throws([&] { loss.raw_call(s, {teacher.data(), 1, m}, {student}, {}); }, "teacher has ");
  throws([&] { loss.raw_call(s, {nullptr, 2, m}, {student}, {}); }, "teacher is null");
  throws([&] { loss.raw_call({nullptr, 2, n}, t, {student}, {}); }, "student is null");
  throws([&] { loss.raw_call(s, t, {{memory.data(), 1, n}}, {}); }, "grad ");
  throws([&] { loss.raw_call(s, t, {{memory.data() + 2 * n + 1, 2, n}}, {}); }, "grad overlaps student");
  throws([&] { loss.raw_call(s, t, {{teacher.data(), 2, n}}, {}); }, "grad overlaps teacher");
  RowOptions options;
  options.weights = weights;
  throws([&] { loss.raw_call(s, t, {student}, options); }, "weights[1] is -1");
  Problem problem = random_problem(loss, Scalar::float32, Kind::random, 2);
  throws([&] { loss.call(problem, {{std::numeric_limits<double>::infinity()}}); }, "weight is inf");
  CHECK(memory == before);
}

}  // namespace

void check_hidden_loss(const HiddenLoss& loss) {
  CAPTURE(loss.name);
  check_values_and_gradients(loss);
  check_zeros(loss);
  check_executors(loss);
  check_poison(loss);
  check_memory(loss);
  check_mistakes(loss);
  for (const Scalar scalar : loss.scalars) {
    check_row_options(loss.name, loss.call, random_problem(loss, scalar, Kind::random, 5), bool(loss.sample));
  }
}

}  // namespace support
