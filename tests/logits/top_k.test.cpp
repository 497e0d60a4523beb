#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <distill/logits/reverse_kl.hpp>
#include <distill/logits/top_k.hpp>
#include <numeric>
#include <vector>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

namespace {

using distill::MatrixView;
using distill::sparse_teacher;
using distill::Tail;

constexpr std::size_t kept = 3;
constexpr Tail all_tails[] = {Tail::renormalise_teacher, Tail::renormalise_both, Tail::tail_bucket, Tail::truncate};

std::vector<std::size_t> most_probable(const reference::Row& teacher) {
  std::vector<std::size_t> order(teacher.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return teacher[a] > teacher[b]; });
  order.resize(std::min(kept, teacher.size()));
  return order;
}

/// The divergence over the kept classes by the tail's definition; f(p, q, log p, log q), f(0, q) for absent ones.
template <class F>
support::RowFormula sparse(long double temperature, Tail tail, const F& f) {
  return [=](const reference::Row& s, const reference::Row& t, std::size_t, const reference::Row&) {
    const auto classes = most_probable(t);
    const reference::Row given = reference::log_softmax(t, 1), all = reference::log_softmax(s, temperature);
    reference::Row p, q;
    for (const std::size_t j : classes) {
      p.push_back(given[j]);
      q.push_back(tail == Tail::renormalise_both ? s[j] : all[j]);
    }
    long double rest_p = 0, rest_q = 0;
    for (std::size_t j = 0; j < s.size(); ++j) {
      if (std::find(classes.begin(), classes.end(), j) != classes.end()) continue;
      rest_p += std::exp(given[j]);
      rest_q += std::exp(all[j]);
    }
    const bool has_rest = s.size() > classes.size();
    if (tail == Tail::renormalise_both) q = reference::log_softmax(q, temperature);
    if (tail == Tail::renormalise_both || tail == Tail::renormalise_teacher) {
      p = reference::log_softmax(p, temperature);
    } else if (has_rest) {
      p.push_back(std::log(rest_p));
      p = reference::log_softmax(p, temperature);
      if (tail == Tail::truncate) p.pop_back();
      if (tail == Tail::tail_bucket) q.push_back(std::log(rest_q));
    } else {
      p = reference::log_softmax(p, temperature);
    }
    long double sum = 0;
    for (std::size_t j = 0; j < p.size(); ++j) sum += f(std::exp(p[j]), std::exp(q[j]), p[j], q[j]);
    if (tail == Tail::renormalise_teacher && has_rest) sum += f(0.0L, rest_q, -INFINITY, std::log(rest_q));
    return sum;
  };
}

template <class Loss, class F>
void check(const char* name, Loss loss, const F& f) {
  for (const Tail tail : all_tails) {
    CAPTURE(static_cast<int>(tail));
    loss.tail = tail;
    loss.temperature = 2;
    auto checked = support::with_formula(
        support::score_loss(
            name, loss,
            [](const auto& l, auto s, auto t, auto, auto g, auto options) {
              // an inference engine's answer: classes and log-probabilities, at temperature 1
              const std::size_t k = std::min<std::size_t>(kept, t.cols);
              std::vector<std::int32_t> indices;
              std::vector<double> log_p;
              for (std::size_t i = 0; i < t.rows; ++i) {
                reference::Row row;
                for (std::size_t j = 0; j < t.cols; ++j) row.push_back(support::number(t.row(i)[j]));
                const reference::Row given = reference::log_softmax(row, 1);
                for (const std::size_t j : most_probable(row)) {
                  indices.push_back(static_cast<std::int32_t>(j));
                  log_p.push_back(static_cast<double>(given[j]));
                }
              }
              return l(s, sparse_teacher(MatrixView{indices.data(), t.rows, k}, MatrixView{log_p.data(), t.rows, k}), g,
                       options);
            }),
        loss, sparse(2, tail, f));
    checked.has_logits = false;
    // what k log-probabilities near 0 leave to the others is a difference of nearly equal numbers
    checked.takes_wide_rows = tail == Tail::renormalise_teacher || tail == Tail::renormalise_both;
    checked.is_nonnegative = tail != Tail::truncate;
    support::check_score_loss(checked);
  }
}

}  // namespace

TEST_CASE("TopKKl: value and gradient are the formula's, for every tail, with every option") {
  check("TopKKl", distill::TopKKl{},
        [](auto p, auto, auto log_p, auto log_q) { return reference::kl(p, log_p, log_q); });
}

TEST_CASE("TopKJensenShannon: value and gradient are the formula's, for every tail, with every option") {
  for (const double beta : {0.2, 0.5}) {
    check("TopKJensenShannon", distill::TopKJensenShannon{.beta = beta}, [=](auto p, auto q, auto log_p, auto log_q) {
      const long double log_m = std::log(beta * p + (1 - static_cast<long double>(beta)) * q);
      return beta * reference::kl(p, log_p, log_m) +
             (1 - static_cast<long double>(beta)) * reference::kl(q, log_q, log_m);
    });
  }
}

namespace {

// What has kinks, or is infinite for one tail, on numbers of its own.
const std::vector<double> student{1, -2, 0.5, 3, 0, 1.5, 0.25, 2, -1, 0};
const std::vector<std::int64_t> indices{2, 0, 4, 1};  // of two rows of five classes
const std::vector<double> log_p{-0.5, -1.5, -0.25, -2};

template <class Loss>
double call(const Loss& loss, const std::vector<double>& s, std::vector<double>* grad = nullptr) {
  std::vector<double> g(10);
  const double value =
      loss(MatrixView{s.data(), 2, 5}, sparse_teacher(MatrixView{indices.data(), 2, 2}, MatrixView{log_p.data(), 2, 2}),
           MatrixView{g.data(), 2, 5});
  if (grad) *grad = g;
  return value;
}

template <class Loss>
void check_differences(const Loss& loss) {
  std::vector<double> grad;
  call(loss, student, &grad);
  for (std::size_t j = 0; j < 10; ++j) {
    std::vector<double> above(student), below(student);
    above[j] += 1e-6;
    below[j] -= 1e-6;
    CHECK(grad[j] == doctest::Approx((call(loss, above) - call(loss, below)) / 2e-6).epsilon(1e-7));
  }
}

}  // namespace

TEST_CASE("TopKReverseKl, TopKTotalVariation: the gradient is that of the value, for every tail") {
  for (const Tail tail : all_tails) {
    CAPTURE(static_cast<int>(tail));
    if (tail == Tail::renormalise_teacher) {
      std::vector<double> grad;
      CHECK(std::isinf(call(distill::TopKReverseKl{.tail = tail}, student, &grad)));
      for (const double g : grad) CHECK(std::isfinite(g));
    } else {
      check_differences(distill::TopKReverseKl{.temperature = 1.5, .tail = tail});
    }
    check_differences(distill::TopKTotalVariation{.temperature = 1.5, .tail = tail});
  }
}

TEST_CASE("top-k: a teacher of all classes is the dense loss") {
  const std::vector<std::int32_t> all{3, 1, 0, 2, 4, 4, 3, 2, 1, 0};
  const std::vector<double> teacher{0.5, 1, -1, 2, 0, 1, 0, 3, -2, 0.5};
  std::vector<double> given(10), sparse_grad(10), dense_grad(10);
  for (std::size_t i = 0; i < 2; ++i) {
    const reference::Row p =
        reference::log_softmax(reference::Row(teacher.begin() + static_cast<std::ptrdiff_t>(5 * i),
                                              teacher.begin() + static_cast<std::ptrdiff_t>(5 * i + 5)),
                               1);
    for (std::size_t j = 0; j < 5; ++j)
      given[5 * i + j] = static_cast<double>(p[static_cast<std::size_t>(all[5 * i + j])]);
  }
  const MatrixView s{student.data(), 2, 5}, t{teacher.data(), 2, 5};
  const auto sparse_view = sparse_teacher(MatrixView{all.data(), 2, 5}, MatrixView{given.data(), 2, 5});
  for (const Tail tail : all_tails) {
    const double a =
        distill::TopKReverseKl{.temperature = 3, .tail = tail}(s, sparse_view, MatrixView{sparse_grad.data(), 2, 5});
    const double b = distill::ReverseKl{.temperature = 3}(s, t, MatrixView{dense_grad.data(), 2, 5});
    CHECK(a == doctest::Approx(b).epsilon(1e-12));
    for (std::size_t j = 0; j < 10; ++j) CHECK(std::abs(sparse_grad[j] - dense_grad[j]) <= 1e-13);
  }
}

TEST_CASE("top-k: a confident student gives no infinity") {
  for (const double size : {120.0, 1e4, 1e30}) {
    for (const std::size_t top : {std::size_t{0}, std::size_t{3}}) {  // among the teacher's classes, and not
      std::vector<double> s(10);
      s[top] = s[5 + top] = size;
      for (const Tail tail : all_tails) {
        std::vector<double> grad;
        CHECK(std::isfinite(call(distill::TopKKl{.tail = tail}, s, &grad)));
        for (const double g : grad) CHECK(std::isfinite(g));
        CHECK(std::isfinite(call(distill::TopKJensenShannon{.tail = tail}, s, &grad)));
        if (tail != Tail::renormalise_teacher)
          CHECK(std::isfinite(call(distill::TopKReverseKl{.tail = tail}, s, &grad)));
      }
    }
  }
}

TEST_CASE("top-k: bad teachers are named before anything is written") {
  std::vector<float> s{1, 2, 3, 4, 5, 6}, grad(6, 42);
  const MatrixView student_view{s.data(), 2, 3}, grad_view{grad.data(), 2, 3};
  const std::vector<float> p{-1, -2, -1, -2};
  const auto fails = [&](const std::vector<int>& ids, std::size_t k, const std::vector<std::string>& pieces) {
    const auto teacher = sparse_teacher(MatrixView{ids.data(), 2, k}, MatrixView{p.data(), 2, k});
    support::check_throws([&] { distill::TopKKl{}(student_view, teacher, grad_view); }, pieces);
    CHECK(grad == std::vector<float>(6, 42));
  };
  fails({0, 1, 2, 2}, 2, {"TopKKl", "indices holds class 2 twice in row 1"});
  fails({0, 3, 1, 2}, 2, {"TopKKl", "indices[0, 1] is 3", "0 to 2"});
  fails({0, -1, 1, 2}, 2, {"TopKKl", "indices[0, 1] is -1"});
  fails({0, 1, 2, 0, 1, 2, 0, 1}, 4, {"TopKKl", "indices has 4 columns", "3"});
  const std::vector<int> ids{0, 1, 1, 2};
  support::check_throws(
      [&] {
        distill::TopKKl{}(student_view, sparse_teacher(MatrixView{ids.data(), 2, 2}, MatrixView{p.data(), 1, 2}),
                          grad_view);
      },
      {"TopKKl", "log_probabilities has 1 rows, indices has 2"});
}

TEST_CASE("top-k: logits whose quotients by the temperature are no numbers") {
  const std::vector<double> student{1.7e308, -1.7e308, 1.7e308}, log_p{-1, -2};
  const std::vector<int> classes{0, 2};
  std::vector<double> grad(3);
  for (const Tail tail : {Tail::renormalise_teacher, Tail::renormalise_both}) {
    const distill::TopKKl loss{.temperature = 0.5, .tail = tail};
    // the student gives both classes 1/2, the teacher 1 / (1 + e^-2) and the rest
    const double p = 1 / (1 + std::exp(-2.0));
    CHECK(loss(MatrixView{student.data(), 1, 3},
               distill::sparse_teacher(MatrixView{classes.data(), 1, 2}, MatrixView{log_p.data(), 1, 2}),
               MatrixView{grad.data(), 1, 3}) ==
          doctest::Approx(0.25 * (std::log(2.0) + p * std::log(p) + (1 - p) * std::log(1 - p))));
    CHECK(grad[0] == doctest::Approx(0.5 * (0.5 - p)));
    CHECK(grad[1] == 0);
    CHECK(grad[2] == doctest::Approx(0.5 * (p - 0.5)));
  }
}
