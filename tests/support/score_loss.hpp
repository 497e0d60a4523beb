// Any loss on class scores as one type, so that common properties are tested, and compiled, once.
#pragma once

#include <cstddef>
#include <distill/core/gradient.hpp>
#include <distill/core/logit_transform.hpp>
#include <distill/core/options.hpp>
#include <distill/core/scalar.hpp>
#include <distill/core/views.hpp>
#include <functional>
#include <string>
#include <vector>

#include "support/data.hpp"
#include "support/reference.hpp"

namespace support {

enum class Scalar { float32, float64, half, bfloat16 };
inline constexpr Scalar all_scalars[] = {Scalar::float64, Scalar::float32, Scalar::half, Scalar::bfloat16};

std::string name(Scalar scalar);

/// Scores that are exact in their scalar type.
struct Problem {
  Scalar scalar;
  std::vector<reference::Row> student, teacher;
  std::vector<int> labels;

  std::size_t rows() const { return student.size(); }
  std::size_t cols() const { return student[0].size(); }
};
Problem make_problem(Scalar scalar, Kind kind, std::size_t rows, std::size_t cols, unsigned seed = 1);
/// Rounds the numbers to the type.
Problem make_problem(Scalar scalar, const std::vector<reference::Row>& student,
                     const std::vector<reference::Row>& teacher, const std::vector<int>& labels);

/// The fields that all losses have.
struct CommonFields {
  double weight = 1;
  distill::Reduction reduction = distill::Reduction::mean;
  distill::LogitTransform logits = {};

  template <class Loss>
  Loss applied_to(Loss loss) const {
    loss.weight = weight;
    loss.reduction = reduction;
    if constexpr (requires { loss.logits; }) loss.logits = logits;
    return loss;
  }
};

enum class Target { overwrite, add, in_place };
/// What a gradient is added to.
inline constexpr double added_to = 0.5;

struct Call {
  CommonFields fields;
  std::vector<float> row_weights = {};  // empty: none
  Target target = Target::overwrite;
  distill::Executor executor = {};
  double total_weight = 0;
};

struct Answer {
  double value = 0;
  double value_only = 0;
  std::vector<double> losses;
  std::vector<std::vector<double>> gradient;
  bool guards_are_whole = true;
};

/// The loss of a row by its formula; what the loss treats as a constant is computed from `base` instead of `student`.
using RowFormula = std::function<long double(const reference::Row& student, const reference::Row& teacher,
                                             std::size_t label, const reference::Row& base)>;
/// Of a batch, with the row weights; as of Reduction::mean.
using BatchFormula =
    std::function<long double(const std::vector<reference::Row>& student, const std::vector<reference::Row>& teacher,
                              const std::vector<long double>& weights)>;

struct ScoreLoss {
  std::string name;
  std::function<Answer(const Problem&, const Call&)> call;
  RowFormula row = {};
  BatchFormula batch = {};
  long double value_unit = 1;      // T^2
  long double gradient_unit = 1;   // T
  long double step_scale = 1;      // over which it changes: T
  double tolerance = 1;            // times the usual, in float, with a reason where it is set
  bool is_bounded = true;          // by something like the size of the logits
  bool takes_wide_rows = true;     // the loss can use a wide teacher's numbers
  bool has_kinks = false;          // where student and teacher agree
  bool has_logits = true;          // a LogitTransform
  bool is_shift_invariant = true;  // a constant may be added to a row
  bool terms_are_rows = false;     // per_element is mean
  bool is_nonnegative = true;
};

namespace detail {

template <class S, class Loss, class Invoke>
Answer call_in(const Problem& problem, const Call& call, const Loss& loss, const Invoke& invoke) {
  const std::size_t rows = problem.rows(), cols = problem.cols(), teacher_cols = problem.teacher[0].size();
  Matrix<S> student(rows, cols, cols + 3, 1), teacher(rows, teacher_cols, teacher_cols + 2),
      grad(rows, cols, cols + 1, 2);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) student.set(i, j, static_cast<double>(problem.student[i][j]));
    for (std::size_t j = 0; j < teacher_cols; ++j) teacher.set(i, j, static_cast<double>(problem.teacher[i][j]));
  }
  grad.fill(call.target == Target::add ? added_to : 123);
  Answer answer;
  answer.losses.assign(rows, -1);
  distill::RowOptions options;
  options.losses = answer.losses;
  options.executor = call.executor;
  if (!call.row_weights.empty()) options.weights = call.row_weights;
  options.total_weight = call.total_weight;
  const distill::MatrixView<const S> s = std::as_const(student).view(), t = std::as_const(teacher).view();
  const distill::LabelsView<int> labels{problem.labels.data(), problem.labels.size()};
  const Loss configured = call.fields.applied_to(loss);
  answer.value_only = invoke(configured, s, t, labels, distill::detail::NoGradient{}, options);
  Matrix<S>& target = call.target == Target::in_place ? student : grad;
  const distill::GradientTarget<distill::MatrixView<S>> view{target.view(), call.target == Target::add};
  answer.value = invoke(configured, s, t, labels, view, options);
  for (std::size_t i = 0; i < rows; ++i) {
    answer.gradient.emplace_back();
    for (std::size_t j = 0; j < cols; ++j) {
      answer.gradient[i].push_back(static_cast<double>(number(target.at(i, j))));
    }
  }
  answer.guards_are_whole = student.guards_are_whole() && grad.guards_are_whole();
  return answer;
}

}  // namespace detail

/// `invoke(loss, student, teacher, labels, grad, options)` calls the loss.
template <class Loss, class Invoke>
ScoreLoss score_loss(std::string name, const Loss& loss, const Invoke& invoke) {
  ScoreLoss result;
  result.name = std::move(name);
  result.call = [=](const Problem& problem, const Call& call) {
    switch (problem.scalar) {
      case Scalar::float32:
        return detail::call_in<float>(problem, call, loss, invoke);
      case Scalar::half:
        return detail::call_in<distill::half>(problem, call, loss, invoke);
      case Scalar::bfloat16:
        return detail::call_in<distill::bfloat16>(problem, call, loss, invoke);
      default:
        return detail::call_in<double>(problem, call, loss, invoke);
    }
  };
  return result;
}

/// Gives a loss with a temperature its formula of a row, without T^2.
template <class Loss>
ScoreLoss with_formula(ScoreLoss result, const Loss& loss, const RowFormula& row) {
  const long double temperature = loss.temperature;
  const long double scale = loss.scale_by_temperature_squared ? temperature * temperature : 1;
  result.row = [=](const auto& s, const auto& t, std::size_t label, const auto& base) {
    return scale * row(s, t, label, base);
  };
  result.value_unit = scale;
  result.gradient_unit = scale / temperature;
  result.step_scale = temperature;
  return result;
}

/// A loss of student and teacher.
template <class Loss>
ScoreLoss teacher_loss(std::string name, const Loss& loss, const RowFormula& row) {
  const auto invoke = [](const auto& l, auto s, auto t, auto, auto g, auto options) { return l(s, t, g, options); };
  return with_formula(score_loss(std::move(name), loss, invoke), loss, row);
}
/// Of student, teacher and labels.
template <class Loss>
ScoreLoss labelled_loss(std::string name, const Loss& loss, const RowFormula& row) {
  const auto invoke = [](const auto& l, auto s, auto t, auto labels, auto g, auto options) {
    return l(s, t, labels, g, options);
  };
  return with_formula(score_loss(std::move(name), loss, invoke), loss, row);
}

/// All that every loss on class scores guarantees: value and gradient in every scalar type, with every option, in place
/// and added, by any executor, and what becomes of masked classes, NaN, one class, and ignored rows.
void check_score_loss(const ScoreLoss& loss);

/// A batch in parts, each told the weight of the whole: the same rows, and values that add up. Where rows depend on one
/// another, and with Reduction::sum, that throws. Weights of another length throw in any loss.
void check_row_options(const std::string& name, const std::function<Answer(const Problem&, const Call&)>& call,
                       const Problem& problem, bool rows_are_independent);

/// The gradient of the formula, by central differences; `i`: of which row.
reference::Row formula_gradient(const ScoreLoss& loss, const Problem& problem, const distill::LogitTransform& logits,
                                std::size_t i);

/// A row of scores through a LogitTransform, by its formula.
reference::Row transformed(const reference::Row& scores, const distill::LogitTransform& transform);

}  // namespace support
