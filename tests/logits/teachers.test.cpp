// Several teachers, and teachers' log-probabilities, with every loss that takes them.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <distill/distill.hpp>
#include <string>
#include <vector>

#include "support/data.hpp"
#include "support/guarded.hpp"
#include "support/loss_check.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::MatrixView;
using distill::weighted;
using Scores = MatrixView<const double>;

constexpr std::size_t rows = 3, cols = 11;

struct Batch {
  support::Scores<double, double> one{support::Kind::random, rows, cols, 1},
      other{support::Kind::random, rows, cols, 2};
  std::vector<double> log_probabilities = std::vector<double>(rows * cols);

  Batch() { distill::log_softmax(t(), MatrixView{log_probabilities.data(), rows, cols}); }
  Scores s() const { return one.student.view(); }
  Scores t() const { return one.teacher.view(); }
  Scores u() const { return other.teacher.view(); }
  Scores log_t() const { return {log_probabilities.data(), rows, cols}; }
  distill::LabelsView<int> labels() const { return {one.labels.data(), rows}; }
};

struct Answer {
  double value;
  std::vector<double> gradient;
};

/// `call(teacher, grad)`
template <class Call, class Teacher>
Answer answer(const Call& call, const Teacher& teacher) {
  Answer result{0, std::vector<double>(rows * cols)};
  result.value =
      call(teacher, distill::GradientTarget<MatrixView<double>>{{result.gradient.data(), rows, cols}, false});
  return result;
}

void check_same(const Answer& a, const Answer& b) {
  CHECK(a.value == doctest::Approx(b.value).epsilon(1e-12));
  for (std::size_t k = 0; k < rows * cols; ++k)
    CHECK(std::abs(a.gradient[k] - b.gradient[k]) <= 1e-12 * (1 + std::abs(b.value)));
}

template <class Call>
void check_lists(const Batch& batch, const Call& call) {
  const Answer a = answer(call, batch.t()), b = answer(call, batch.u());
  Answer sum{0.25 * a.value + 2 * b.value, std::vector<double>(rows * cols)};
  for (std::size_t k = 0; k < rows * cols; ++k) sum.gradient[k] = 0.25 * a.gradient[k] + 2 * b.gradient[k];
  check_same(answer(call, std::array{weighted(batch.t(), 0.25), weighted(batch.u(), 2)}), sum);
  // a list of one is that one, bit for bit, and a weight of 2 as exact; a teacher of weight 0 in memory that must not be read
  const Answer single = answer(call, std::vector{weighted(batch.t(), 1)});
  CHECK(single.value == a.value);
  CHECK(single.gradient == a.gradient);
  const Answer twice = answer(call, std::vector{weighted(batch.t(), 2)});
  CHECK(twice.value == doctest::Approx(2 * a.value).epsilon(1e-14));
  for (std::size_t k = 0; k < rows * cols; ++k) {
    CHECK(twice.gradient[k] == doctest::Approx(2 * a.gradient[k]).epsilon(1e-13));
  }
  const Answer never = answer(call, std::vector{weighted(batch.t(), 0)});
  CHECK(never.value == 0);
  CHECK(never.gradient == std::vector<double>(rows * cols));
  support::Pages closed(1);
  closed.close(0);
  const Scores unreadable{closed.at<const double>(0), rows, cols};
  check_same(answer(call, std::array{weighted(unreadable, 0), weighted(batch.t(), 1)}), a);
}

template <class Call>
void check_log_probabilities(const Batch& batch, const Call& call) {
  check_same(answer(call, distill::log_probabilities(batch.log_t())), answer(call, batch.t()));
  check_same(answer(call, distill::logits(batch.t())), answer(call, batch.t()));
}

template <class Loss>
void check(Loss loss, bool with_log_probabilities = true) {
  const Batch batch;
  const auto call = [&](const auto& teacher, auto grad) {
    if constexpr (requires { loss.ignore_label; }) {
      return loss(batch.s(), teacher, batch.labels(), grad);
    } else {
      return loss(batch.s(), teacher, grad);
    }
  };
  check_lists(batch, call);
  if (with_log_probabilities) check_log_probabilities(batch, call);
  // standardised, log-probabilities are what logits are
  loss.logits.standardize = distill::Standardize::unbiased;
  check_lists(batch, call);
  if (with_log_probabilities) check_log_probabilities(batch, call);
}

}  // namespace

TEST_CASE("several teachers, and log-probabilities") {
  SUBCASE("KlDivergence") {
    check(distill::KlDivergence{.temperature = 2});
  }
  SUBCASE("KlDivergence with the entropy") {
    check(distill::KlDivergence{.temperature = 2, .subtract_teacher_entropy = false});
  }
  SUBCASE("KnowledgeDistillation, the teacher's part") {
    check(distill::KnowledgeDistillation{.alpha = 1});
  }
  SUBCASE("ReverseKl") {
    check(distill::ReverseKl{.temperature = 2});
  }
  SUBCASE("SymmetricKl") {
    check(distill::SymmetricKl{.temperature = 2, .subtract_teacher_entropy = false});
  }
  SUBCASE("JensenShannon") {
    check(distill::JensenShannon{.temperature = 2});
  }
  SUBCASE("SkewedKl") {
    check(distill::SkewedKl{.temperature = 2});
  }
  SUBCASE("SkewedReverseKl") {
    check(distill::SkewedReverseKl{.temperature = 2});
  }
  SUBCASE("TotalVariation") {
    check(distill::TotalVariation{.temperature = 2});
  }
  SUBCASE("AlphaDivergence") {
    check(distill::AlphaDivergence{.temperature = 2});
  }
  SUBCASE("AdaptiveKl") {
    check(distill::AdaptiveKl{.temperature = 2});
  }
  SUBCASE("DecoupledKd") {
    check(distill::DecoupledKd{.temperature = 2});
  }
  SUBCASE("WeightedSoftLabel") {
    check(distill::WeightedSoftLabel{.temperature = 2});
  }
  SUBCASE("Dist") {
    check(distill::Dist{.temperature = 2});
  }
  SUBCASE("MultiLevel") {
    check(distill::MultiLevel{.temperature = 2});
  }
  SUBCASE("LogitMse") {
    check(distill::LogitMse{}, false);
  }
  SUBCASE("LogitCosine") {
    check(distill::LogitCosine{}, false);
  }
  SUBCASE("BinaryKl") {
    check(distill::BinaryKl{}, false);
  }
}

TEST_CASE("KlDivergence: the precision of a list is that of its teachers, one by one") {
  constexpr std::size_t n = 1000;
  const support::Scores<float, float> a(support::Kind::near, 1, n, 1), b(support::Kind::near, 1, n, 2);
  const auto s = a.student.view(), t = a.teacher.view(), u = b.teacher.view();
  for (const distill::Precision precision : support::both_precisions) {
    const distill::KlDivergence kl{.precision = precision};
    const double expected = 0.25 * kl(s, t) + 2 * kl(s, u);
    CHECK(kl(s, std::array{weighted(t, 0.25), weighted(u, 2)}) ==
          doctest::Approx(expected).epsilon(precision == distill::Precision::high ? 1e-6 : 1e-12));
  }
  const distill::KlDivergence standard, high{.precision = distill::Precision::high};
  const auto twice = std::array{weighted(t, 0.5), weighted(t, 0.5)};
  CHECK(standard(s, twice) == standard(s, t));
  CHECK(standard(s, twice) != high(s, twice));
}

TEST_CASE("KnowledgeDistillation: labels count once, however many teachers there are") {
  const Batch batch;
  const distill::KnowledgeDistillation kd{.temperature = 3, .alpha = 0.75};
  const auto both = std::array{weighted(batch.t(), 0.5), weighted(batch.t(), 0.5)};
  std::vector<double> a(rows * cols), b(rows * cols);
  CHECK(kd(batch.s(), both, batch.labels(), MatrixView{a.data(), rows, cols}) ==
        doctest::Approx(kd(batch.s(), batch.t(), batch.labels(), MatrixView{b.data(), rows, cols})).epsilon(1e-12));
  for (std::size_t k = 0; k < rows * cols; ++k) CHECK(std::abs(a[k] - b[k]) <= 1e-13);
  // in place: the labels' term is of the student's logits, not of what has been written
  std::vector<double> in_place;
  for (std::size_t i = 0; i < rows; ++i) in_place.insert(in_place.end(), batch.s().row(i), batch.s().row(i) + cols);
  const MatrixView student{in_place.data(), rows, cols};
  kd(student, both, batch.labels(), student);
  CHECK(in_place == a);
}

TEST_CASE("KnowledgeDistillation: standardising is of the teacher's part, scale and soft cap of both") {
  const Batch batch;
  const auto value = [&](const distill::LogitTransform& soft, const distill::LogitTransform& hard, double alpha) {
    const distill::KlDivergence kl{.temperature = 3, .logits = soft};
    std::vector<double> z(rows * cols);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < cols; ++j) {
        double x = hard.scale * batch.s().row(i)[j];
        z[i * cols + j] = std::isinf(hard.soft_cap) ? x : hard.soft_cap * std::tanh(x / hard.soft_cap);
      }
    }
    return alpha * kl(batch.s(), batch.t()) +
           (1 - alpha) * distill::CrossEntropy{}(MatrixView{z.data(), rows, cols}, batch.labels());
  };
  for (const distill::LogitTransform& logits : {distill::LogitTransform{.standardize = distill::Standardize::unbiased},
                                                distill::LogitTransform{.scale = 0.5, .soft_cap = 2}}) {
    const distill::KnowledgeDistillation kd{.temperature = 3, .alpha = 0.75, .logits = logits};
    CHECK(kd(batch.s(), batch.t(), batch.labels()) == doctest::Approx(value(logits, logits, 0.75)).epsilon(1e-12));
  }
}

TEST_CASE("bad lists of teachers are named") {
  const Batch batch;
  const distill::ReverseKl loss;
  using List = std::vector<distill::WeightedTeacher<const double>>;
  support::check_throws([&] { loss(batch.s(), List{}); }, {"ReverseKl", "empty list"});
  support::check_throws(
      [&] {
        loss(batch.s(), List{weighted(batch.t(), 1), weighted(batch.t(), -1)});
      },
      {"ReverseKl", "weight of teacher 1 is -1"});
  support::check_throws(
      [&] {
        loss(batch.s(), List{weighted(Scores{batch.t().data, rows, cols - 1, cols}, 1)});
      },
      {"ReverseKl", "teacher has 10 columns, student has 11"});
  support::check_throws([&] { distill::ReverseKl{.logits = {.soft_cap = 0}}(batch.s(), batch.t()); },
                        {"ReverseKl", "logits.soft_cap is 0"});
  support::check_throws([&] { distill::ReverseKl{.logits = {.scale = -1}}(batch.s(), batch.t()); },
                        {"ReverseKl", "logits.scale is -1"});
}
