#include "support/score_loss.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "support/gradient_check.hpp"
#include "support/loss_check.hpp"
#include "support/threads.hpp"
#include "support/tolerances.hpp"

namespace support {

namespace {

using distill::LogitTransform;
using distill::Reduction;
using distill::Standardize;
using reference::Row;

constexpr long double infinite = std::numeric_limits<long double>::infinity();
// columns; fewer where long double is done in software, whose lanes are four
constexpr std::size_t several_vectors = reference::is_slow ? 13 : 41;
constexpr std::size_t several_chunks = reference::is_slow ? 140 : 300;

template <class S>
Problem rounded(const std::vector<Row>& student, const std::vector<Row>& teacher, const std::vector<int>& labels,
                Scalar scalar) {
  Problem problem{scalar, student, teacher, labels};
  for (auto* rows : {&problem.student, &problem.teacher}) {
    for (Row& row : *rows) {
      for (long double& x : row) x = number(stored<S>(static_cast<double>(x)));
    }
  }
  return problem;
}

/// Row i's loss as a function of the student
std::function<long double(const Row&)> loss_of_row(const ScoreLoss& loss, const Problem& problem,
                                                   const LogitTransform& logits, std::size_t i) {
  return [&, label = static_cast<std::size_t>(problem.labels[i]), base = transformed(problem.student[i], logits),
          teacher = transformed(problem.teacher[i], logits)](const Row& student) {
    return loss.row(transformed(student, logits), teacher, label, base);
  };
}

long double loss_of_batch(const ScoreLoss& loss, const Problem& problem, const LogitTransform& logits,
                          const std::vector<long double>& weights, std::size_t changed, const Row& student) {
  std::vector<Row> s, t;
  for (std::size_t i = 0; i < problem.rows(); ++i) {
    s.push_back(transformed(i == changed ? student : problem.student[i], logits));
    t.push_back(transformed(problem.teacher[i], logits));
  }
  return loss.batch(s, t, weights);
}

struct Bounds {
  double value, gradient;
  double relative = 0;  // of stored gradients
  double smallest = 0;
};
Bounds bounds(Scalar scalar) {
  using namespace tolerances;
  const Bounds single{Tolerance<float>::value, family_gradient, float_rounding, 0};
  switch (scalar) {
    case Scalar::float64:
      return {Tolerance<double>::value, finite_difference, 0, 0};
    case Scalar::half:
      return {single.value, single.gradient, half_rounding, half_smallest};
    case Scalar::bfloat16:
      return {single.value, single.gradient, bfloat16_rounding, 0};
    default:
      return single;
  }
}

/// Compares all of an answer with the formula.
void check_answer(const ScoreLoss& loss, const Problem& problem, const Call& call) {
  if (reference::is_slow && problem.scalar != Scalar::float32) return;
  CAPTURE(name(problem.scalar));
  const Answer answer = loss.call(problem, call);
  Bounds bound = bounds(problem.scalar);
  if (problem.scalar != Scalar::float64) {
    bound.value *= loss.tolerance;
    bound.gradient *= loss.tolerance;
  }
  const std::size_t rows = problem.rows(), cols = problem.cols();
  std::vector<long double> weights(rows, 1);
  for (std::size_t i = 0; i < call.row_weights.size(); ++i) weights[i] = static_cast<long double>(call.row_weights[i]);
  long double weight_sum = 0;
  for (const long double w : weights) weight_sum += w;
  long double divisor = call.fields.reduction == Reduction::sum || weight_sum == 0 ? 1 : weight_sum;
  if (call.fields.reduction == Reduction::per_element && !loss.terms_are_rows)
    divisor *= static_cast<long double>(cols);
  const long double scale = call.fields.weight / divisor;

  long double total = 0, total_bound = 0;
  if (loss.row) {
    for (std::size_t i = 0; i < rows; ++i) {
      if (weights[i] == 0) {
        CHECK(answer.losses[i] == 0);
        continue;
      }
      const long double expected = loss_of_row(loss, problem, call.fields.logits, i)(problem.student[i]);
      const long double allowed = bound.value * std::max(loss.value_unit, std::abs(expected));
      CHECK(static_cast<double>(std::abs(answer.losses[i] - expected)) <= static_cast<double>(allowed));
      if (loss.is_nonnegative) CHECK(answer.losses[i] >= 0);
      total += weights[i] * expected;
      total_bound += weights[i] * allowed;
    }
  } else if (weight_sum != 0) {
    total = weight_sum * loss_of_batch(loss, problem, call.fields.logits, weights, rows, {});
    total_bound = weight_sum * bound.value * std::max(loss.value_unit, std::abs(total / weight_sum)) *
                  static_cast<long double>(cols);
  }
  CHECK(static_cast<double>(std::abs(answer.value - scale * total)) <=
        static_cast<double>(std::abs(scale) * total_bound));
  CHECK(static_cast<double>(std::abs(answer.value_only - scale * total)) <=
        static_cast<double>(std::abs(scale) * total_bound));
  CHECK(answer.guards_are_whole);

  for (std::size_t i = 0; i < rows; ++i) {
    Row expected(cols);
    if (weights[i] != 0) {
      const auto of_batch = [&](const Row& student) {
        return loss_of_batch(loss, problem, call.fields.logits, weights, i, student);
      };
      const std::function<long double(const Row&)> f =
          loss.row ? loss_of_row(loss, problem, call.fields.logits, i) : of_batch;
      expected = central_differences(f, problem.student[i], tolerances::family_step * loss.step_scale);
      for (long double& e : expected) e *= loss.row ? weights[i] : weight_sum;
    }
    long double largest = weights[i] * loss.gradient_unit;
    for (const long double e : expected) largest = std::max(largest, std::abs(e));
    long double worst = 0;
    for (std::size_t j = 0; j < cols; ++j) {
      const long double before = call.target == Target::add ? added_to : 0;
      const long double e = before + scale * expected[j];
      const long double allowed =
          bound.gradient * std::abs(scale) * largest + bound.relative * 2 * (std::abs(e) + before) + bound.smallest;
      const long double difference = std::abs(answer.gradient[i][j] - e);
      if (difference == 0) continue;
      const long double error = difference / allowed;
      worst = error <= worst ? worst : error;
    }
    CAPTURE(i);
    CHECK(static_cast<double>(worst) <= 1);
  }
}

bool is_comparable(const ScoreLoss& loss, Kind kind) {
  if (kind == Kind::wide && !loss.takes_wide_rows) return false;
  return !loss.has_kinks || kind == Kind::random || kind == Kind::wide;
}

void check_values_and_gradients(const ScoreLoss& loss) {
  for (const Scalar scalar : all_scalars) {
    for (const Kind kind : all_kinds) {
      if (!is_comparable(loss, kind)) continue;
      for (const std::size_t cols : {std::size_t{2}, std::size_t{7}, several_vectors}) {
        CAPTURE(support::name(kind));
        CAPTURE(cols);
        check_answer(loss, make_problem(scalar, kind, 3, cols, static_cast<unsigned>(cols)), {});
      }
    }
  }
  if (!loss.row) return;  // central differences of a whole batch take too long
  for (const Scalar scalar : {Scalar::float32, Scalar::float64}) {
    check_answer(loss, make_problem(scalar, Kind::random, 2, several_chunks, 4), {});
  }
}

void check_options(const ScoreLoss& loss) {
  for (const Scalar scalar : all_scalars) {
    const Problem problem = make_problem(scalar, Kind::random, 5, 11, 3);
    for (const Reduction reduction : all_reductions) {
      CAPTURE(static_cast<int>(reduction));
      for (const double weight : {1.0, -0.25}) {
        check_answer(loss, problem, {{weight, reduction}});
        check_answer(loss, problem, {{weight, reduction}, {0.5f, 0, 2, 0.25f, 1}});
      }
    }
    check_answer(loss, problem, {{1, Reduction::sum}, {}, Target::in_place});
    check_answer(loss, problem, {{1, Reduction::sum}, {}, Target::add});
    const Answer ignored = loss.call(problem, {{}, {0, 0, 0, 0, 0}});
    CHECK(ignored.value == 0);
    for (const auto& row : ignored.gradient) CHECK(row == std::vector<double>(11));
  }
}

void check_transforms(const ScoreLoss& loss) {
  if (!loss.has_logits) return;
  for (const LogitTransform& logits :
       {LogitTransform{2}, LogitTransform{0.5, 3},
        LogitTransform{1, std::numeric_limits<double>::infinity(), Standardize::unbiased},
        LogitTransform{1, std::numeric_limits<double>::infinity(), Standardize::biased, 0.01},
        LogitTransform{1.5, 2, Standardize::unbiased}}) {
    for (const Scalar scalar : all_scalars) {
      CAPTURE(logits.scale);
      CAPTURE(logits.soft_cap);
      CAPTURE(static_cast<int>(logits.standardize));
      const Problem problem = make_problem(scalar, Kind::random, 3, 11, 8);
      check_answer(loss, problem, {{1, Reduction::mean, logits}});
      check_answer(loss, problem, {{1, Reduction::sum, logits}, {1, 0, 2}, Target::in_place});
    }
  }
}

bool same(const Answer& a, const Answer& b) {
  return a.value == b.value && a.losses == b.losses && a.gradient == b.gradient;
}

void check_executors(const ScoreLoss& loss) {
  // the last are few and long: their parts are shared
  for (const auto& [rows, cols] : {std::pair<std::size_t, std::size_t>{37, 10}, {37, 3000}, {3, 40000}}) {
    if (reference::is_slow && cols > 3000) continue;
    const Problem problem = make_problem(Scalar::float32, Kind::random, rows, cols, 6);
    const Answer sequential = loss.call(problem, {});
    const Backwards backwards;
    const Threads threads{3};
    CHECK(same(loss.call(problem, {{}, {}, Target::overwrite, backwards}), sequential));
    CHECK(same(loss.call(problem, {{}, {}, Target::overwrite, threads}), sequential));
  }
}

void check_hostile(const ScoreLoss& loss) {
  const auto all_finite = [](const std::vector<double>& row) {
    return std::all_of(row.begin(), row.end(), [](double g) { return std::isfinite(g); });
  };
  for (const Scalar scalar : all_scalars) {
    CAPTURE(name(scalar));
    // one class
    const Answer one = loss.call(make_problem(scalar, {{3}}, {{-2}}, {0}), {});
    if (loss.is_shift_invariant && loss.row) {
      CHECK(one.value == 0);
      CHECK(one.gradient[0][0] == 0);
    }
    CHECK(std::isfinite(one.value));
    // equal rows: a loss of 0 where it has a formula that is 0 there, and always a finite gradient
    const Answer equal = loss.call(make_problem(scalar, {{1, 2, 3}}, {{1, 2, 3}}, {1}), {});
    CHECK(std::isfinite(equal.value));
    CHECK(all_finite(equal.gradient[0]));
    // NaN stays in its row
    if (loss.row) {
      const long double nan = std::numeric_limits<long double>::quiet_NaN();
      const Problem clean = make_problem(scalar, {{1, 2, 3}, {0, 1, 0}}, {{2, 1, 0}, {3, 1, 1}}, {0, 1});
      Problem dirty = clean;
      dirty.student[0][2] = nan;
      const Answer a = loss.call(clean, {{1, Reduction::sum}}), b = loss.call(dirty, {{1, Reduction::sum}});
      CHECK(std::isnan(b.losses[0]));
      CHECK(std::isnan(b.value));
      CHECK(a.gradient[1] == b.gradient[1]);
      CHECK(a.losses[1] == b.losses[1]);
      dirty = clean;
      dirty.teacher[0][0] = nan;
      CHECK(std::isnan(loss.call(dirty, {}).losses[0]));
      // a row of weight 0 may hold anything
      const Answer ignored = loss.call(dirty, {{}, {0, 1}});
      CHECK(std::isfinite(ignored.value));
      CHECK(ignored.gradient[0] == std::vector<double>(3));
    }
  }
  // masked in both: as if the class did not exist
  if (loss.row) {
    for (const Scalar scalar : {Scalar::float32, Scalar::float64}) {
      const Problem without = make_problem(scalar, {{1, 2, 3, 0.5L}}, {{2, 1, 0, 0.25L}}, {1});
      const Problem with = make_problem(scalar, {{1, 2, -infinite, 3, 0.5L}}, {{2, 1, -infinite, 0, 0.25L}}, {1});
      const Answer a = loss.call(without, {}), b = loss.call(with, {});
      CHECK(b.value == doctest::Approx(a.value).epsilon(tolerances::masked));
      CHECK(b.gradient[0][2] == 0);
      CHECK(b.gradient[0][4] == doctest::Approx(a.gradient[0][3]).epsilon(tolerances::masked));
    }
  }
  // a student and a teacher that are certain, of the same class and of different ones
  for (const Scalar scalar : {Scalar::float32, Scalar::float64}) {
    for (const long double size : {120.0L, 1e4L, 1e30L}) {
      CAPTURE(static_cast<double>(size));
      for (const std::size_t top : {std::size_t{0}, std::size_t{1}}) {
        std::vector<Row> student{Row(4)}, teacher{Row{1, 0, 2, -1}};
        student[0][top] = size;
        if (!loss.is_bounded) continue;
        const Answer confident = loss.call(make_problem(scalar, student, teacher, {1}), {});
        CHECK(std::isfinite(confident.value));
        CHECK(all_finite(confident.gradient[0]));
        const Answer certain = loss.call(make_problem(scalar, teacher, student, {1}), {});
        CHECK(std::isfinite(certain.value));
        CHECK(all_finite(certain.gradient[0]));
      }
    }
    // a teacher of one class, all others -infinity
    const Answer one_hot = loss.call(make_problem(scalar, {{1, 2, 3}}, {{-infinite, 0, -infinite}}, {1}), {});
    if (loss.is_shift_invariant) {
      CHECK(!std::isnan(one_hot.value));
      CHECK(all_finite(one_hot.gradient[0]));
    }
    // a student that excludes a class of the teacher's
    const Answer excluded = loss.call(make_problem(scalar, {{1, -infinite, 3}}, {{1, 2, 0}}, {0}), {});
    if (loss.is_shift_invariant) {
      CHECK(!std::isnan(excluded.value));
      CHECK(all_finite(excluded.gradient[0]));
    }
  }
}

}  // namespace

std::string name(Scalar scalar) {
  return scalar == Scalar::float32   ? "float"
         : scalar == Scalar::float64 ? "double"
         : scalar == Scalar::half    ? "half"
                                     : "bfloat16";
}

Problem make_problem(Scalar scalar, const std::vector<Row>& student, const std::vector<Row>& teacher,
                     const std::vector<int>& labels) {
  switch (scalar) {
    case Scalar::float32:
      return rounded<float>(student, teacher, labels, scalar);
    case Scalar::half:
      return rounded<distill::half>(student, teacher, labels, scalar);
    case Scalar::bfloat16:
      return rounded<distill::bfloat16>(student, teacher, labels, scalar);
    default:
      return rounded<double>(student, teacher, labels, scalar);
  }
}

Problem make_problem(Scalar scalar, Kind kind, std::size_t rows, std::size_t cols, unsigned seed) {
  const Scores<double, double> scores(kind, rows, cols, seed);
  std::vector<Row> student, teacher;
  for (std::size_t i = 0; i < rows; ++i) {
    student.push_back(scores.student.row(i));
    teacher.push_back(scores.teacher.row(i));
  }
  return make_problem(scalar, student, teacher, scores.labels);
}

Row transformed(const Row& scores, const LogitTransform& transform) {
  if (transform.is_identity()) return scores;
  Row z = scores;
  for (long double& x : z) {
    x *= transform.scale;
    if (std::isfinite(transform.soft_cap)) x = transform.soft_cap * std::tanh(x / transform.soft_cap);
  }
  if (transform.standardize == Standardize::none) return z;
  const auto n = static_cast<long double>(z.size());
  long double mean = 0, squares = 0;
  for (const long double x : z) mean += x / n;
  for (const long double x : z) squares += (x - mean) * (x - mean);
  const long double deviation = std::sqrt(squares / (transform.standardize == Standardize::biased ? n : n - 1));
  for (long double& x : z) x = (x - mean) / (deviation + transform.epsilon);
  return z;
}

void check_row_options(const std::string& loss, const std::function<Answer(const Problem&, const Call&)>& call,
                       const Problem& problem, bool rows_are_independent) {
  const std::vector<float> weights{0.5f, 0, 2, 0.25f, 1};
  REQUIRE(problem.rows() == weights.size());
  const auto throws = [&](const Call& wrong, const char* message) {
    check_throws([&] { call(problem, wrong); }, {loss, message});
  };
  throws({{}, {1}}, "weights has 1 entries, student has 5 ");
  throws({{}, std::vector<float>(6, 1)}, "weights has 6 entries, student has 5 ");

  const auto part_of_larger = [](double total_weight, Reduction reduction = Reduction::mean) {
    return Call{{1, reduction}, {}, Target::overwrite, {}, total_weight};
  };
  for (const double bad : {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    throws(part_of_larger(bad), "total_weight is ");
  }
  throws(part_of_larger(9, Reduction::sum), "total_weight is 9, expected 0");
  if (!rows_are_independent) {
    throws(part_of_larger(9), "total_weight is 9, expected 0: rows depend on one another");
    return;
  }
  throws(part_of_larger(4.99), "total_weight is 4.99, expected 0 or at least this call's own sum of weights, 5");
  call(problem, part_of_larger(5 * (1 - 1e-7)));  // rounded
  Call weighted_part = part_of_larger(3.7);
  weighted_part.row_weights = weights;
  throws(weighted_part, "total_weight is 3.7, expected 0 or at least this call's own sum of weights, 3.75");
  for (const Reduction reduction : {Reduction::mean, Reduction::per_element}) {
    for (const bool weighted : {false, true}) {
      CAPTURE(static_cast<int>(reduction));
      const Answer whole = call(problem, {{1, reduction}, weighted ? weights : std::vector<float>{}});
      double value = 0, value_only = 0, size = 0;
      for (const auto& [begin, end] : {std::pair{0, 2}, std::pair{2, 3}, std::pair{3, 5}}) {
        const auto cut = [begin = begin, end = end](const auto& all) {
          return std::decay_t<decltype(all)>(all.begin() + begin, all.begin() + end);
        };
        const Problem part{problem.scalar, cut(problem.student), cut(problem.teacher), cut(problem.labels)};
        Call of_part = part_of_larger(weighted ? 3.75 : 5, reduction);
        if (weighted) of_part.row_weights = cut(weights);
        const Answer answer = call(part, of_part);
        CHECK(answer.losses == cut(whole.losses));
        CHECK(answer.gradient == cut(whole.gradient));
        value += answer.value;
        value_only += answer.value_only;
        size += std::abs(answer.value);
      }
      CHECK(std::abs(value - whole.value) <= 1e-14 * size);
      CHECK(std::abs(value_only - whole.value_only) <= 1e-14 * size);
    }
  }
}

void check_score_loss(const ScoreLoss& loss) {
  CAPTURE(loss.name);
  check_values_and_gradients(loss);
  check_options(loss);
  check_transforms(loss);
  check_executors(loss);
  check_hostile(loss);
  for (const Scalar scalar : {Scalar::float32, Scalar::float64}) {
    check_row_options(loss.name.substr(0, loss.name.find_first_of(" ,")), loss.call,
                      make_problem(scalar, Kind::random, 5, 11, 3), bool(loss.row));
  }
}

}  // namespace support
