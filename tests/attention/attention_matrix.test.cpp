#include <doctest/doctest.h>
#include <distill/attention/attention_matrix.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "support/data.hpp"
#include "support/golden.hpp"
#include "support/gradient_check.hpp"
#include "support/hidden_loss.hpp"
#include "support/threads.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::AttentionHeads;
using distill::AttentionMatrix;
using distill::AttentionMatrixDistance;
using distill::FeatureMapView;
using distill::Reduction;
using distill::RowOptions;
using distill::TokenMask;
using reference::Row;

constexpr AttentionMatrixDistance all_distances[] = {AttentionMatrixDistance::squared, AttentionMatrixDistance::kl,
                                                     AttentionMatrixDistance::cross_entropy};

AttentionMatrix matrix(AttentionMatrixDistance distance, AttentionHeads heads = AttentionHeads::each,
                       bool causal = false) {
  AttentionMatrix loss;
  loss.distance = distance;
  loss.heads = heads;
  loss.causal = causal;
  return loss;
}

/// The numbers of one sample: heads, queries, keys.
struct Shape {
  std::size_t student_heads, teacher_heads, queries, keys;

  std::size_t student_size() const { return student_heads * queries * keys; }
  std::size_t teacher_size() const { return teacher_heads * queries * keys; }
};

struct Sample {
  long double loss = 0, terms = 0;
};

Row softmax(const Row& x, const std::vector<bool>& counts) {
  long double sum = 0;
  for (std::size_t k = 0; k < x.size(); ++k) sum += counts[k] ? std::exp(x[k]) : 0;
  Row result;
  for (std::size_t k = 0; k < x.size(); ++k) result.push_back(counts[k] ? std::exp(x[k]) / sum : 0);
  return result;
}

/// One sample by the formula. `live`: of tokens, empty for all.
Sample formula(const AttentionMatrix& loss, const Row& student, const Row& teacher, const Shape& shape,
               const std::vector<bool>& live = {}) {
  const auto row = [&](const Row& x, std::size_t heads, std::size_t head, std::size_t query) {
    Row result(shape.keys);
    for (std::size_t k = 0; k < shape.keys; ++k) {
      for (std::size_t h = 0; h < heads; ++h) {
        const long double score = x[(h * shape.queries + query) * shape.keys + k];
        if (loss.heads == AttentionHeads::mean) result[k] += score / static_cast<long double>(heads);
        if (loss.heads == AttentionHeads::each && h == head) result[k] = score;
      }
    }
    return result;
  };
  Sample sample;
  for (std::size_t h = 0; h < (loss.heads == AttentionHeads::mean ? 1 : shape.student_heads); ++h) {
    for (std::size_t q = 0; q < shape.queries; ++q) {
      if (!live.empty() && !live[q]) continue;
      const Row s = row(student, shape.student_heads, h, q), t = row(teacher, shape.teacher_heads, h, q);
      std::vector<bool> counts(shape.keys), in_softmax(shape.keys);
      for (std::size_t k = 0; k < shape.keys; ++k) {
        counts[k] = (live.empty() || live[k]) && !(loss.causal && k > q);
        in_softmax[k] = counts[k] || (loss.padding_in_softmax && !(loss.causal && k > q));
      }
      const Row p = softmax(t, in_softmax), r = softmax(s, in_softmax);
      if (loss.distance != AttentionMatrixDistance::squared) sample.terms += 1;
      for (std::size_t k = 0; k < shape.keys; ++k) {
        if (!counts[k]) continue;
        if (loss.distance == AttentionMatrixDistance::squared) {
          const long double d = (s[k] <= loss.score_floor ? 0 : s[k]) - (t[k] <= loss.score_floor ? 0 : t[k]);
          sample.loss += d * d;
          sample.terms += 1;
        } else if (!(t[k] <= loss.score_floor)) {
          sample.loss -= p[k] * std::log(r[k]);
          if (loss.distance == AttentionMatrixDistance::kl) sample.loss += p[k] * std::log(p[k]);
        }
      }
    }
  }
  return sample;
}

/// A batch of two samples, in double.
struct Problem {
  Shape shape;
  support::Matrix<double> student, teacher, grad;
  std::vector<std::uint8_t> mask;

  explicit Problem(const Shape& s)
      : shape(s),
        student(support::Scores<double, double>(support::Kind::random, 2, s.student_size(), 1).student),
        teacher(support::Scores<double, double>(support::Kind::random, 2, s.teacher_size(), 2).teacher),
        grad(2, s.student_size()) {}

  static FeatureMapView<double> view(support::Matrix<double>& m, std::size_t heads, const Shape& shape) {
    return {m.view().data, m.rows(), heads, shape.queries, shape.keys};
  }
  auto s() { return view(student, shape.student_heads, shape); }
  auto t() { return view(teacher, shape.teacher_heads, shape); }
  auto g() { return view(grad, shape.student_heads, shape); }
  auto tokens() const { return TokenMask{mask.data(), 2, shape.keys}; }

  std::vector<bool> live(std::size_t i) const {
    if (mask.empty()) return {};
    const auto begin = mask.begin() + static_cast<std::ptrdiff_t>(i * shape.keys);
    return std::vector<bool>(begin, begin + static_cast<std::ptrdiff_t>(shape.keys));
  }
  /// What does not count is NaN.
  void poison_padding(bool causal) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    const auto fill = [&](support::Matrix<double>& m, std::size_t heads) {
      for (std::size_t i = 0; i < 2; ++i) {
        for (std::size_t e = 0; e < heads * shape.queries * shape.keys; ++e) {
          const std::size_t k = e % shape.keys, q = e / shape.keys % shape.queries;
          const bool counts = mask.empty() || (live(i)[k] && live(i)[q]);
          if (!counts || (causal && k > q)) m.set(i, e, nan);
        }
      }
    };
    fill(student, shape.student_heads);
    fill(teacher, shape.teacher_heads);
  }
  double call(const AttentionMatrix& loss) {
    return mask.empty() ? loss(s(), t(), g()) : loss(s(), t(), tokens(), g());
  }
};

/// The value, and the gradient by central differences, of what counts; the gradient of all else is 0.
void check(const AttentionMatrix& loss, Problem problem) {
  Sample samples[2];
  Row gradients[2];
  for (std::size_t i = 0; i < 2; ++i) {
    const Row s = problem.student.row(i), t = problem.teacher.row(i);
    const auto value = [&](const Row& x) { return formula(loss, x, t, problem.shape, problem.live(i)).loss; };
    samples[i] = formula(loss, s, t, problem.shape, problem.live(i));
    gradients[i] = support::central_differences(value, s, 1e-5L);
  }
  const long double terms = samples[0].terms + samples[1].terms;
  if (!loss.padding_in_softmax) problem.poison_padding(loss.causal);
  problem.grad.fill(123);
  const double value = problem.call(loss);
  CHECK(std::abs(value - static_cast<double>((samples[0].loss + samples[1].loss) / terms)) <= 1e-13);
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t e = 0; e < gradients[i].size(); ++e) {
      CHECK(std::abs(problem.grad.at(i, e) - static_cast<double>(gradients[i][e] / terms)) <=
            tolerances::finite_difference);
    }
  }
}

/// The published code has a mask, or takes scores at or below -1e-3 for padding. `sum`: over heads, which is a multiple
/// of their mean.
void check_golden(const std::string& name, AttentionMatrix loss, bool sum = false) {
  loss.padding_in_softmax = true;
  for (const auto& golden : support::golden_cases(name)) {
    CAPTURE(name);
    CAPTURE(golden.at("name").get<std::string>());
    const auto& inputs = golden.at("inputs");
    const auto shape = inputs.at("student").at("shape").get<std::vector<std::size_t>>();
    const auto student = inputs.at("student").at("data").get<std::vector<double>>();
    const auto teacher = inputs.at("teacher").at("data").get<std::vector<double>>();
    std::vector<double> grad(student.size(), 42);
    const auto view = [&](auto* data) { return FeatureMapView{data, shape[0], shape[1], shape[2], shape[3]}; };
    const auto heads = static_cast<double>(shape[1]);
    if (sum) loss.weight = heads * heads;
    double value = 0;
    if (inputs.contains("mask")) {
      const auto mask = inputs.at("mask").at("data").get<std::vector<int>>();
      loss.score_floor = -std::numeric_limits<double>::infinity();
      value = loss(view(student.data()), view(teacher.data()), TokenMask{mask.data(), shape[0], shape[3]},
                   view(grad.data()));
    } else {
      loss.score_floor = sum ? -1e-3 / heads : -1e-3;
      value = loss(view(student.data()), view(teacher.data()), view(grad.data()));
    }
    support::check_golden_loss(golden, value);
    support::check_golden_gradient(golden, grad);
  }
}

}  // namespace

TEST_CASE("AttentionMatrix: all that is promised of a loss on hidden layers") {
  const auto check = [](const AttentionMatrix& loss, const Shape& shape) {
    const auto invoke = [shape](const auto& l, auto s, auto t, auto g, const auto& options) {
      return l(support::as_maps(s, shape.student_heads, shape.queries, shape.keys),
               support::as_maps(t, shape.teacher_heads, shape.queries, shape.keys),
               support::as_maps(g, shape.student_heads, shape.queries, shape.keys), options);
    };
    auto hidden = support::hidden_loss("AttentionMatrix", loss, invoke);
    hidden.student_size = shape.student_size();
    hidden.teacher_size = shape.teacher_size();
    hidden.sample = [=](const Row& s, const Row& t) { return formula(loss, s, t, shape).loss; };
    hidden.sum_terms =
        static_cast<std::size_t>(formula(loss, Row(shape.student_size()), Row(shape.teacher_size()), shape).terms);
    support::check_hidden_loss(hidden);
  };
  for (const AttentionMatrixDistance distance : all_distances) {
    CAPTURE(static_cast<int>(distance));
    check(matrix(distance), {2, 2, 2, 3});
  }
  check(matrix(AttentionMatrixDistance::squared, AttentionHeads::mean), {2, 3, 1, 4});
  check(matrix(AttentionMatrixDistance::kl, AttentionHeads::mean), {3, 1, 1, 4});
}

TEST_CASE("AttentionMatrix: masks, causal or not, of heads and of their mean; what is masked is never read") {
  const std::initializer_list<std::vector<std::uint8_t>> masks = {
      {},
      {1, 1, 1, 0, 0, 1, 1, 1, 1, 1},  // at the end
      {0, 1, 1, 1, 1, 0, 0, 0, 0, 1},  // at the start
      {1, 0, 1, 0, 1, 0, 1, 1, 0, 1},  // between tokens
      {0, 0, 0, 0, 0, 1, 1, 1, 1, 0},  // a sample of padding
  };
  for (const std::vector<std::uint8_t>& mask : masks) {
    for (const AttentionMatrixDistance distance : all_distances) {
      for (const bool causal : {false, true}) {
        CAPTURE(mask.size());
        CAPTURE(static_cast<int>(distance));
        CAPTURE(causal);
        Problem same_heads({2, 2, 5, 5}), other_heads({3, 2, 5, 5});
        same_heads.mask = other_heads.mask = mask;
        check(matrix(distance, AttentionHeads::each, causal), same_heads);
        check(matrix(distance, AttentionHeads::mean, causal), other_heads);
        for (const double floor : {-std::numeric_limits<double>::infinity(), -0.7}) {
          AttentionMatrix published = matrix(distance, AttentionHeads::each, causal);
          published.score_floor = floor;
          published.padding_in_softmax = true;
          check(published, same_heads);
          published.padding_in_softmax = false;
          published.heads = AttentionHeads::mean;
          check(published, other_heads);
        }
      }
    }
  }
  for (const AttentionMatrixDistance distance : all_distances) {  // to the keys of another sequence
    check(matrix(distance), Problem({2, 2, 3, 40}));
    check(matrix(distance, AttentionHeads::each, true), Problem({2, 2, 7, 4}));
  }
}

TEST_CASE("AttentionMatrix: golden vectors") {
  check_golden("attention_mse.textbrewer", {});
  check_golden("attention_mse_probs.textbrewer", {});
  check_golden("attention_mse_headsum.textbrewer", matrix(AttentionMatrixDistance::squared, AttentionHeads::mean),
               true);
  check_golden("attention_ce.textbrewer", matrix(AttentionMatrixDistance::cross_entropy));
  check_golden("attention_ce_headmean.textbrewer",
               matrix(AttentionMatrixDistance::cross_entropy, AttentionHeads::mean));
}

TEST_CASE("AttentionMatrix: per_element counts what counts, mean and sum do not; masks of any type, with a stride") {
  Problem problem({2, 2, 3, 3});
  problem.mask = {1, 1, 0, 1, 1, 1};
  const float mask[] = {1, 1, 0, 42, 1, 1, 1};
  RowOptions options;
  const std::vector<float> weights{0.5f, 2};
  options.weights = weights;
  std::vector<double> losses(2);
  options.losses = losses;
  for (const AttentionMatrixDistance distance : all_distances) {
    AttentionMatrix loss = matrix(distance);
    const Sample first = formula(loss, problem.student.row(0), problem.teacher.row(0), problem.shape, problem.live(0));
    const Sample second = formula(loss, problem.student.row(1), problem.teacher.row(1), problem.shape);
    const auto sum = static_cast<double>(0.5L * first.loss + 2 * second.loss);
    const auto terms = static_cast<double>(0.5L * first.terms + 2 * second.terms);
    const auto call = [&](Reduction reduction) {
      loss.reduction = reduction;
      return loss(problem.s(), problem.t(), TokenMask{mask, 2, 3, 4}, options);
    };
    CHECK(call(Reduction::per_element) == doctest::Approx(sum / terms).epsilon(1e-13));
    CHECK(call(Reduction::mean) == doctest::Approx(sum / 2.5).epsilon(1e-13));
    CHECK(call(Reduction::sum) == doctest::Approx(sum).epsilon(1e-13));
    CHECK(losses[0] == doctest::Approx(static_cast<double>(first.loss)).epsilon(1e-13));
  }
}

TEST_CASE_TEMPLATE("AttentionMatrix: masks in every type, and by any executor", S, float, distill::half) {
  const Shape shape{3, 3, 40, 40};
  const std::size_t samples = 8, size = shape.student_size();
  support::Scores<S, S> scores(support::Kind::random, samples, size);
  support::Matrix<double> exact_student(samples, size), exact_teacher(samples, size), exact_grad(samples, size);
  std::vector<std::uint8_t> mask;
  for (std::size_t i = 0; i < samples; ++i) {
    for (std::size_t e = 0; e < size; ++e) {
      exact_student.set(i, e, static_cast<double>(support::number(scores.student.at(i, e))));
      exact_teacher.set(i, e, static_cast<double>(support::number(scores.teacher.at(i, e))));
    }
    for (std::size_t k = 0; k < shape.keys; ++k) mask.push_back(k % 7 != i % 7 && k < 20 + 3 * i);
  }
  const auto call = [&](const AttentionMatrix& loss, auto& student, auto& teacher, auto& grad,
                        const RowOptions& options = {}) {
    const auto maps = [&](auto& m) { return support::as_maps(m.view(), 3, shape.queries, shape.keys); };
    return loss(maps(student), maps(teacher), TokenMask{mask.data(), samples, shape.keys}, maps(grad), options);
  };
  const support::Backwards backwards;
  const support::Threads threads{3};
  for (const AttentionHeads heads : {AttentionHeads::each, AttentionHeads::mean}) {
    for (const AttentionMatrixDistance distance : all_distances) {
      AttentionMatrix loss = matrix(distance, heads, true);
      loss.weight = 1000;  // for gradients in the middle of half's range
      support::Matrix<S> grad(samples, size), other(samples, size);
      const double expected = call(loss, exact_student, exact_teacher, exact_grad);
      const double value = call(loss, scores.student, scores.teacher, grad);
      CHECK(value == doctest::Approx(expected).epsilon(1e-5));
      const double rounding = sizeof(S) == 2 ? tolerances::half_rounding : 0;
      for (std::size_t i = 0; i < samples; ++i) {
        double worst = 0;
        for (std::size_t e = 0; e < size; ++e) {
          const double g = exact_grad.at(i, e);
          const double error = std::abs(static_cast<double>(support::number(grad.at(i, e))) - g);
          worst = std::max(worst, error / (rounding * std::abs(g) + 1e-6));
        }
        CHECK(worst <= 1);
      }
      for (const distill::Executor executor : {distill::Executor(backwards), distill::Executor(threads)}) {
        RowOptions options;
        options.executor = executor;
        CHECK(call(loss, scores.student, scores.teacher, other, options) == value);
        CHECK(other.same_bits(grad));
      }
    }
  }
}

TEST_CASE("AttentionMatrix: add_to, in place and strides, with masks") {
  for (const AttentionHeads heads : {AttentionHeads::each, AttentionHeads::mean}) {
    for (const AttentionMatrixDistance distance : all_distances) {
      const AttentionMatrix loss = matrix(distance, heads, true);
      Problem problem({3, 3, 6, 6});
      problem.mask = {1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1};
      const double value = problem.call(loss);
      support::Matrix<double> sum(2, problem.shape.student_size());
      sum.fill(0.5);
      CHECK(loss(problem.s(), problem.t(), problem.tokens(), distill::add_to(Problem::view(sum, 3, problem.shape))) ==
            value);
      // heads last, as some attention code has it
      support::Matrix<double> student(2, 108), teacher(2, 108), grad(2, 108);
      for (std::size_t i = 0; i < 2; ++i) {
        for (std::size_t e = 0; e < 108; ++e) {
          CHECK(sum.at(i, e) == doctest::Approx(0.5 + problem.grad.at(i, e)).epsilon(1e-15));
          student.at(i, e % 36 * 3 + e / 36) = problem.student.at(i, e);
          teacher.at(i, e % 36 * 3 + e / 36) = problem.teacher.at(i, e);
        }
      }
      const auto last = [](support::Matrix<double>& m) { return distill::nhwc(m.view().data, 2, 6, 6, 3); };
      CHECK(loss(last(student), last(teacher), problem.tokens(), last(grad)) == doctest::Approx(value).epsilon(1e-13));
      CHECK(loss(problem.s(), problem.t(), problem.tokens(), problem.s()) == value);
      for (std::size_t i = 0; i < 2; ++i) {
        CHECK(problem.student.row(i) == problem.grad.row(i));
        for (std::size_t e = 0; e < 108; ++e) {
          CHECK(std::abs(grad.at(i, e % 36 * 3 + e / 36) - problem.grad.at(i, e)) <= 1e-15);
        }
      }
    }
  }
}

TEST_CASE("AttentionMatrix: a batch of padding, and one key") {
  for (const AttentionMatrixDistance distance : all_distances) {
    Problem problem({2, 2, 4, 4});
    problem.mask.assign(8, 0);
    problem.poison_padding(false);
    problem.grad.fill(42);
    CHECK(problem.call(matrix(distance)) == 0);
    for (std::size_t i = 0; i < 2; ++i) CHECK(problem.grad.row(i) == Row(32));
  }
  Problem one_key({2, 2, 3, 1});
  CHECK(one_key.call(matrix(AttentionMatrixDistance::kl)) == 0);
  for (std::size_t i = 0; i < 2; ++i) CHECK(one_key.grad.row(i) == Row(6));
}

TEST_CASE("AttentionMatrix: means over heads of large numbers, and floats whose squares overflow") {
  const std::vector<float> student{3e38f, 1, 3e38f, 1}, teacher{3e38f, 1, 3e38f, -1};
  std::vector<float> grad(4);
  const auto call = [&](const AttentionMatrix& loss) {
    return loss(FeatureMapView{student.data(), 1, 2, 1, 2}, FeatureMapView{teacher.data(), 1, 2, 1, 2},
                FeatureMapView{grad.data(), 1, 2, 1, 2});
  };
  CHECK(call(matrix(AttentionMatrixDistance::squared, AttentionHeads::mean)) == 0.5);
  CHECK(grad == std::vector<float>{0, 0.5f, 0, 0.5f});
  CHECK(call(matrix(AttentionMatrixDistance::kl)) == 0);
  const std::vector<float> zeros(4);
  AttentionMatrix scaled;
  scaled.weight = 1e-38;
  CHECK(scaled(FeatureMapView{student.data(), 1, 2, 1, 2}, FeatureMapView{zeros.data(), 1, 2, 1, 2}) ==
        doctest::Approx(4.5e38).epsilon(1e-6));
}

TEST_CASE("AttentionMatrix: NaN that counts makes its sample NaN, and no other") {
  for (const AttentionMatrixDistance distance : all_distances) {
    Problem problem({2, 2, 3, 3});
    problem.mask = {1, 1, 0, 1, 1, 1};
    const AttentionMatrix loss = matrix(distance);
    problem.call(loss);
    const Row expected = problem.grad.row(1);
    problem.student.set(0, 1, std::numeric_limits<double>::quiet_NaN());
    CHECK(std::isnan(problem.call(loss)));
    CHECK(problem.grad.row(1) == expected);
    CHECK(std::isnan(problem.grad.at(0, 0)));
  }
}

TEST_CASE("AttentionMatrix: what is out of range or does not fit throws") {
  Problem problem({2, 2, 3, 3}), other({2, 3, 3, 3}), oblong({2, 2, 2, 3});
  problem.grad.fill(42);
  const support::Matrix<double> before = problem.grad;
  problem.mask = {1, 1, 0, 1, 1, 1};
  const auto throws = [&](const AttentionMatrix& loss, const std::string& message) {
    support::check_throws([&] { problem.call(loss); }, {"AttentionMatrix: " + message});
  };
  throws(matrix(static_cast<AttentionMatrixDistance>(7)), "distance is 7, expected an AttentionMatrixDistance");
  throws(matrix({}, static_cast<AttentionHeads>(7)), "heads is 7, expected an AttentionHeads");
  AttentionMatrix loss;
  loss.score_floor = std::numeric_limits<double>::quiet_NaN();
  throws(loss, "score_floor is nan, expected a number below infinity");
  loss = {};
  loss.weight = std::numeric_limits<double>::infinity();
  throws(loss, "weight is inf");
  problem.mask[4] = 2;
  throws({}, "mask[1][1] is 2, expected 0 or 1");
  const auto call_throws = [](const auto& call, const std::string& message) {
    support::check_throws(call, {"AttentionMatrix: " + message});
  };
  const AttentionMatrix plain;
  call_throws([&] { plain(problem.s(), other.t(), problem.g()); },
              "teacher is 2 x 3 x 3 x 3, student is 2 x 2 x 3 x 3");
  call_throws(
      [&] {
        plain(problem.s(), problem.t(), TokenMask{problem.mask.data(), 2, 2}, problem.g());
      },
      "mask is 2 x 2, expected 2 x 3");
  call_throws(
      [&] {
        plain(problem.s(), problem.t(), TokenMask{problem.mask.data(), 1, 3}, problem.g());
      },
      "mask is 1 x 3, expected 2 x 3");
  call_throws([&] { plain(problem.s(), problem.t(), TokenMask<int>{nullptr, 2, 3}, problem.g()); }, "mask is null");
  call_throws([&] { plain(oblong.s(), oblong.t(), problem.tokens(), oblong.g()); },
              "student has 2 queries and 3 keys, expected the same tokens where there is a mask");
  const std::vector<double> zeros(6);
  std::copy(zeros.begin(), zeros.end(), problem.student.view().data);
  call_throws(
      [&] {
        plain(problem.s(), problem.t(), TokenMask{problem.student.view().data, 2, 3}, problem.s());
      },
      "grad overlaps mask");
  CHECK(problem.grad.same_bits(before));
  const std::vector<float> weights{1, 0};  // an ignored sample's mask is not read
  RowOptions options;
  options.weights = weights;
  CHECK(std::isfinite(plain(problem.s(), problem.t(), problem.tokens(), options)));
}
