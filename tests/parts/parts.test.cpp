// Rows cut into parts, each summed by itself; their sums joined in any order and grouping, the loss is the whole row's.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <distill/kernels/rows/row_parts.hpp>
#include <distill/kernels/scores/cross_entropy_row.hpp>
#include <distill/kernels/scores/divergence_row.hpp>
#include <distill/kernels/scores/kl_row.hpp>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/tolerances.hpp"

namespace {

using namespace distill::kernels;
using distill::Precision;

constexpr double infinite = std::numeric_limits<double>::infinity();

/// Scores of a row, whose parts lie far apart.
template <class T>
struct Scores {
  std::vector<T> student, teacher;
  std::vector<std::size_t> ends;  // of the parts
  std::size_t label = 0;
};

enum class Kind { random, near, wide, equal };

template <class T>
Scores<T> cut_scores(std::mt19937& random, Kind kind, std::size_t n, std::size_t parts, double apart) {
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform(-apart, apart);
  Scores<T> scores;
  for (std::size_t k = 1; k < parts; ++k) scores.ends.push_back(1 + random() % (n - 1));
  scores.ends.push_back(n);
  std::sort(scores.ends.begin(), scores.ends.end());
  scores.ends.erase(std::unique(scores.ends.begin(), scores.ends.end()), scores.ends.end());
  std::size_t part = 0;
  double offset = uniform(random);
  for (std::size_t i = 0; i < n; ++i) {
    if (i == scores.ends[part]) {
      ++part;
      offset = uniform(random);
    }
    const double t = offset + normal(random) * (kind == Kind::wide ? 40 : 3);
    const double s = kind == Kind::equal  ? t
                     : kind == Kind::near ? t + 0.01 * normal(random)
                                          : offset + normal(random) * (kind == Kind::wide ? 40 : 3);
    scores.teacher.push_back(static_cast<T>(t));
    scores.student.push_back(static_cast<T>(s));
  }
  scores.label = random() % n;
  return scores;
}

/// Joins all, two at a time, in any order and grouping.
template <class Sums>
Sums joined(std::vector<Sums> sums, std::mt19937& random) {
  while (sums.size() > 1) {
    std::swap(sums[random() % sums.size()], sums.back());
    const Sums other = sums.back();
    sums.pop_back();
    sums[random() % sums.size()].join(other);
  }
  return sums[0];
}

template <class T>
struct Answer {
  bool is_ordinary = true;
  double value = 0;
  std::vector<T> grad;
};

/// `row(scores, begin, end)` is the loss's row of a part.
template <class T, class MakeRow>
Answer<T> of_parts(const Scores<T>& scores, const MakeRow& make_row, std::mt19937& random) {
  using Row = decltype(make_row(scores, 0, 0));
  Answer<T> answer;
  answer.grad.resize(scores.student.size());
  distill::detail::ScratchFrame frame;
  std::vector<Row> rows;
  std::vector<typename Row::Sums> sums;
  std::size_t begin = 0;
  for (const std::size_t end : scores.ends) {
    rows.push_back(make_row(scores, begin, end));
    rows.back().keep_in(frame, answer.grad.data() + begin);
    sums.push_back(rows.back().sum({0, end - begin}));
    begin = end;
  }
  const auto accept = [&](const auto& of_row) {
    for (Row& row : rows) answer.is_ordinary = row.accept(of_row) && answer.is_ordinary;
    return answer.is_ordinary;
  };
  if (!accept(joined(sums, random))) return answer;
  std::vector<TermSums> terms;
  for (const Row& row : rows) terms.push_back(row.has_terms() ? row.terms({0, row.size()}) : TermSums{});
  if (rows[0].has_terms() && !accept(joined(terms, random))) return answer;
  terms.clear();
  begin = 0;
  for (const Row& row : rows) {
    terms.push_back(row.write({0, row.size()}, 1, GradientRow<T>{answer.grad.data() + begin}));
    begin += row.size();
  }
  answer.value = rows[0].value(joined(terms, random));
  return answer;
}

template <class T, class MakeRow>
Answer<T> exactly(const Scores<T>& scores, const MakeRow& make_row) {
  Answer<T> answer;
  answer.grad.resize(scores.student.size());
  answer.value = make_row(scores, 0, scores.student.size()).exact(1, GradientRow<T>{answer.grad.data()});
  return answer;
}

struct Worst {
  double value = 0, gradient = 0;
};

/// The largest of a row's terms that a gradient is made of: p and q, or for the reverse KL q times the log-ratio.
template <class T>
double largest_term(const Scores<T>& scores, double temperature, bool by_log_ratio) {
  const std::size_t n = scores.student.size();
  const ExactSoftmax<T> q(scores.student.data(), n, temperature), p(scores.teacher.data(), n, temperature);
  double largest = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto q_i = static_cast<double>(std::exp(q.log_probability(i)));
    const auto p_i = static_cast<double>(std::exp(p.log_probability(i)));
    const auto d = static_cast<double>(std::abs(exact_log_ratio(p, q, i)));
    largest = std::max({largest, p_i, q_i, by_log_ratio ? q_i * d : 0});
  }
  return largest;
}

struct Units {
  double temperature;
  double value;  // errors of values are relative to the larger of this and the value
  bool by_log_ratio = false;
};

/// The largest errors, those of gradients in eps of the largest term over T.
template <class T, class MakeRow>
Worst worst_of(const MakeRow& make_row, const Units& units) {
  std::mt19937 random(1);
  Worst worst;
  for (const Kind kind : {Kind::random, Kind::near, Kind::wide, Kind::equal}) {
    for (const double apart : {0.0, 8.0, 60.0, 200.0}) {
      for (std::size_t parts = 1; parts <= 8; ++parts) {
        for (const std::size_t n : {std::size_t{9}, std::size_t{100}, std::size_t{1500}}) {
          const Scores<T> scores = cut_scores<T>(random, kind, n, parts, apart);
          const Answer<T> answer = of_parts(scores, make_row, random), expected = exactly(scores, make_row);
          if (!answer.is_ordinary) continue;  // the caller computes such rows exactly
          CAPTURE(static_cast<int>(kind));
          CAPTURE(apart);
          CAPTURE(parts);
          CAPTURE(n);
          REQUIRE(answer.value >= 0);
          const double size = std::max(units.value, std::abs(expected.value));
          worst.value = std::max(worst.value, std::abs(answer.value - expected.value) / size);
          double error = 0;
          for (std::size_t i = 0; i < n; ++i) {
            error =
                std::max(error, std::abs(static_cast<double>(answer.grad[i]) - static_cast<double>(expected.grad[i])));
          }
          REQUIRE(std::isfinite(error));
          const double term = largest_term(scores, units.temperature, units.by_log_ratio) / units.temperature;
          worst.gradient = std::max(worst.gradient, error / (term * std::numeric_limits<T>::epsilon()));
        }
      }
    }
  }
  return worst;
}

template <Precision precision, bool has_label, class T>
auto kl(double temperature) {
  return [=](const Scores<T>& scores, std::size_t begin, std::size_t end) {
    using L = Lanes<T, DefaultArch>;
    const bool is_here = has_label && scores.label >= begin && scores.label < end;
    const T* const teacher = scores.teacher.data() + begin;
    return KlRow<precision, has_label, L, T, T>(
        {scores.student.data() + begin, only_teacher(teacher), end - begin, is_here ? scores.label - begin : none},
        temperature, {0.75, has_label ? 0.25 : 0});
  };
}

template <class T, bool has_label = false, class Term>
auto divergence(const Term& term, double temperature) {
  // pointers to the teacher's scores that outlive the call
  return [=](const Scores<T>& scores, std::size_t begin, std::size_t end) {
    using L = Lanes<T, DefaultArch>;
    const bool is_here = has_label && scores.label >= begin && scores.label < end;
    const T* const teacher = scores.teacher.data() + begin;
    return DivergenceRow<has_label, L, Term, T, T>(
        term,
        {scores.student.data() + begin, only_teacher(teacher), end - begin, is_here ? scores.label - begin : none},
        temperature, {1, has_label ? 0.5 : 0});
  };
}

template <class T>
auto cross_entropy() {
  return [](const Scores<T>& scores, std::size_t begin, std::size_t end) {
    const bool is_here = scores.label >= begin && scores.label < end;
    return CrossEntropyRow<Lanes<T, DefaultArch>, T>(scores.student.data() + begin, end - begin,
                                                     is_here ? scores.label - begin : none);
  };
}

}  // namespace

TEST_CASE_TEMPLATE("rows in parts are as accurate as whole ones", T, float, double) {
  constexpr bool is_float = std::is_same_v<T, float>;
  constexpr double absolute = is_float ? 1e-6 : 1e-13;
  const auto check = [](const std::string& name, const Worst& worst, double value_bound) {
    CAPTURE(name);
    CHECK(worst.value <= value_bound);
    CHECK(worst.gradient <= (is_float ? 6 : 45));  // of double 1e-14
  };
  for (const double t : {0.5, 1.0, 4.0}) {
    CAPTURE(t);
    check("KL", worst_of<T>(kl<Precision::standard, false, T>(t), {t, 1}), absolute);
    check("DKD", worst_of<T>(divergence<T, true>(ForwardKlTerm{}, t), {t, 1}), absolute);
    check("total variation", worst_of<T>(divergence<T>(TotalVariationTerm{}, t), {t, 1}), absolute);
    if (!is_float) continue;
    check("KL, high", worst_of<T>(kl<Precision::high, false, T>(t), {t, 1e-6}), 5e-7);
    check("forward", worst_of<T>(divergence<T>(ForwardKlTerm{}, t), {t, 1e-6}), 5e-7);
    check("reverse", worst_of<T>(divergence<T>(ReverseKlTerm{}, t), {t, 1e-6, true}), 5e-7);
    check("Jensen-Shannon", worst_of<T>(divergence<T>(JensenShannonTerm{0.5}, t), {t, 1e-6}), 2.5e-6);
  }
  // with a label, whose part of the gradient is not divided by T
  for (const double t : {0.5, 1.0}) check("KD", worst_of<T>(kl<Precision::standard, true, T>(t), {t, 1}), absolute);
  check("cross entropy", worst_of<T>(cross_entropy<T>(), {1, 1e-6}), is_float ? 5e-7 : 1e-13);
}

namespace {

/// A row of three parts, computed whole, and by the plain formulas.
template <class MakeRow>
void check_hostile(const std::string& name, const Scores<float>& scores, const MakeRow& make_row, bool is_in_range) {
  CAPTURE(name);
  const std::size_t n = scores.student.size();
  std::vector<float> grad(n, 7);
  const double value = whole_row(make_row(scores, 0, n), 1, GradientRow<float>{grad.data()});
  const Answer<float> expected = exactly(scores, make_row);
  if (is_in_range) {
    CHECK(std::abs(value - expected.value) <= 1e-6 * std::max(1.0, expected.value));
  } else {
    CHECK((value == expected.value || (std::isnan(value) && std::isnan(expected.value))));
  }
  double error = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double difference = std::abs(static_cast<double>(grad[i]) - static_cast<double>(expected.grad[i]));
    if (std::isnan(grad[i]) && std::isnan(expected.grad[i])) continue;
    error = difference <= error ? error : difference;  // NaN is the worst
  }
  CHECK(error <= 1e-6);
}

}  // namespace

TEST_CASE("hostile numbers in one part of a row") {
  constexpr std::size_t n = 2 * part_size + 5000;
  constexpr float masked = -std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  std::mt19937 random(5);
  const auto set = [](std::vector<float>& x, std::size_t part, float value) {
    const Range range = part_of_row(n, part);
    std::fill(x.begin() + static_cast<std::ptrdiff_t>(range.begin), x.begin() + static_cast<std::ptrdiff_t>(range.end),
              value);
  };
  const auto each_loss = [](const std::string& what, const Scores<float>& scores, bool is_in_range) {
    check_hostile(what + ", KL", scores, kl<Precision::standard, false, float>(2), is_in_range);
    check_hostile(what + ", KL high", scores, kl<Precision::high, false, float>(2), is_in_range);
    check_hostile(what + ", KD", scores, kl<Precision::standard, true, float>(1), is_in_range);
    check_hostile(what + ", reverse KL", scores, divergence<float>(ReverseKlTerm{}, 2), is_in_range);
    check_hostile(what + ", JSD", scores, divergence<float>(JensenShannonTerm{0.5}, 2), is_in_range);
    check_hostile(what + ", DKD", scores, divergence<float, true>(ForwardKlTerm{}, 2), is_in_range);
    check_hostile(what + ", CE", scores, cross_entropy<float>(), is_in_range);
  };
  for (std::size_t part = 0; part < 3; ++part) {
    CAPTURE(part);
    Scores<float> scores = cut_scores<float>(random, Kind::random, n, 1, 0);
    scores.label = part_of_row(n, (part + 1) % 3).begin + 17;
    const Scores<float> usual = scores;
    each_loss("usual", usual, true);
    set(scores.student, part, masked);
    set(scores.teacher, part, masked);
    each_loss("masked in both", scores, true);
    scores = usual;
    set(scores.teacher, part, masked);
    check_hostile("masked in the teacher, KL", scores, kl<Precision::standard, false, float>(2), true);
    check_hostile("masked in the teacher, KL high", scores, kl<Precision::high, false, float>(2), true);
    check_hostile("masked in the teacher, JSD", scores, divergence<float>(JensenShannonTerm{0.5}, 2), true);
    scores = usual;
    set(scores.student, part, masked);
    check_hostile("masked in the student, reverse KL", scores, divergence<float>(ReverseKlTerm{}, 2), true);
    Answer<float> infinite_loss = exactly(scores, kl<Precision::standard, false, float>(2));
    CHECK(infinite_loss.value == infinite);
    check_hostile("masked in the student, KL", scores, kl<Precision::standard, false, float>(2), false);
    scores = usual;
    for (std::size_t i = 0; i < n; ++i) {
      const float up = i / part_size == part ? 700.0f : 0;
      scores.student[i] += up;
      scores.teacher[i] += up;
    }
    each_loss("far above the others", scores, true);
    scores = usual;
    scores.student[part_of_row(n, part).begin + 99] = nan;
    each_loss("NaN", scores, false);
    scores = usual;
    scores.teacher[part_of_row(n, part).begin + 3] = -1e9f;
    scores.student[part_of_row(n, part).begin + 3] = -1e9f;
    each_loss("-1e9", scores, true);
  }
}
