#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <distill/logits/universal_logit.hpp>
#include <functional>
#include <numeric>
#include <vector>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

namespace {

using distill::MatrixView;
using distill::UniversalLogit;

support::RowFormula sorted_distance(long double temperature, long double teacher_temperature) {
  return [=](const reference::Row& s, const reference::Row& t, std::size_t, const reference::Row&) {
    reference::Row q = reference::softmax(s, temperature), p = reference::softmax(t, teacher_temperature);
    std::sort(q.begin(), q.end(), std::greater<>());
    std::sort(p.begin(), p.end(), std::greater<>());
    q.resize(std::max(q.size(), p.size()));
    p.resize(q.size());
    long double sum = 0;
    for (std::size_t j = 0; j < q.size(); ++j) sum += std::abs(q[j] - p[j]);
    return sum;
  };
}

}  // namespace

TEST_CASE("UniversalLogit: value and gradient are the formula's, with every option") {
  auto loss = support::score_loss(
      "UniversalLogit", UniversalLogit{.temperature = 2, .teacher_temperature = 3},
      [](const auto& l, auto s, auto t, auto, auto g, auto options) { return l(s, t, g, options); });
  loss.row = sorted_distance(2, 3);
  loss.gradient_unit = 0.5;
  loss.step_scale = 0.01L;  // ranks must not change
  loss.has_kinks = true;
  support::check_score_loss(loss);
}

TEST_CASE("UniversalLogit: the vocabularies may differ, either way") {
  const std::vector<double> student{1, 3, -1, 0.5}, teacher{2, 0, 1, -2, 0.25, 0.75};
  for (const std::size_t s_cols : {std::size_t{2}, std::size_t{4}}) {
    for (const std::size_t t_cols : {std::size_t{1}, std::size_t{3}, std::size_t{6}}) {
      const reference::Row s(student.begin(), student.begin() + static_cast<std::ptrdiff_t>(s_cols)),
          t(teacher.begin(), teacher.begin() + static_cast<std::ptrdiff_t>(t_cols));
      std::vector<double> grad(s_cols);
      const double value = UniversalLogit{}(MatrixView{student.data(), 1, s_cols},
                                            MatrixView{teacher.data(), 1, t_cols}, MatrixView{grad.data(), 1, s_cols});
      CHECK(value == doctest::Approx(static_cast<double>(sorted_distance(1, 1)(s, t, 0, s))).epsilon(1e-13));
      CHECK(std::abs(std::accumulate(grad.begin(), grad.end(), 0.0)) <= 1e-15);
    }
  }
  support::check_throws(
      [&] {
        UniversalLogit{}(MatrixView{student.data(), 2, 2}, MatrixView{teacher.data(), 3, 2});
      },
      {"UniversalLogit", "teacher has 3 rows", "2"});
}
