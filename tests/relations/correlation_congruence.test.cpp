#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <distill/relations/correlation_congruence.hpp>
#include <limits>
#include <string>
#include <vector>

#include "support/relation_loss.hpp"

namespace {

using distill::CongruenceDistance;
using distill::CongruenceKernel;
using distill::CorrelationCongruence;
using reference::Row;

long double similarity(const CorrelationCongruence& loss, const Row& x, const Row& y) {
  const long double product = reference::dot(x, y);
  if (loss.kernel == CongruenceKernel::bilinear) return product;
  long double sum = 0, term = 1;
  for (int k = 0; k <= loss.order; ++k) {
    sum += term;
    term *= 2 * static_cast<long double>(loss.gamma) * product / (k + 1);
  }
  return std::exp(-2 * static_cast<long double>(loss.gamma)) * sum;
}

support::HiddenFormula formula_of(const CorrelationCongruence& loss) {
  return [=](const std::vector<Row>& student, const std::vector<Row>& teacher, const std::vector<long double>& weights,
             distill::Reduction reduction) {
    const auto s = loss.normalize ? support::unit_rows(student) : student;
    const auto t = loss.normalize ? support::unit_rows(teacher) : teacher;
    long double sum = 0;
    for (std::size_t i = 0; i < s.size(); ++i) {
      for (std::size_t j = 0; j < s.size(); ++j) {
        const long double e = similarity(loss, s[i], s[j]) - similarity(loss, t[i], t[j]);
        sum += weights[i] * weights[j] * e * e;
      }
    }
    if (loss.distance == CongruenceDistance::frobenius) sum = std::sqrt(sum);
    return sum / support::batch_divisor(weights, reduction, 2);
  };
}

}  // namespace

TEST_CASE("CorrelationCongruence: value and gradient are the formula's, with every option") {
  for (const CongruenceKernel kernel : {CongruenceKernel::bilinear, CongruenceKernel::gaussian}) {
    for (const CongruenceDistance distance : {CongruenceDistance::squared, CongruenceDistance::frobenius}) {
      for (const bool normalize : {true, false}) {
        CorrelationCongruence loss{.kernel = kernel, .gamma = 0.3, .distance = distance, .normalize = normalize};
        if (kernel == CongruenceKernel::gaussian && !normalize) loss.gamma = 0.02;
        auto hidden = support::relation_loss("CorrelationCongruence", loss, formula_of(loss));
        hidden.has_kinks = distance == CongruenceDistance::frobenius;
        hidden.student_size = 9;
        hidden.tolerance = 2;  // polynomials of products that are rounded already
        hidden.zero_sample_has_no_gradient = normalize;
        support::check_hidden_loss(hidden);
      }
    }
  }
}

TEST_CASE("CorrelationCongruence: value and gradient in a workspace of the caller's") {
  support::check_workspace(CorrelationCongruence{});
}

TEST_CASE("CorrelationCongruence: golden vectors") {
  support::check_golden_relation("cc_kernel.torchdistill", [](const auto& params, std::size_t) {
    CorrelationCongruence loss{.distance = CongruenceDistance::frobenius, .normalize = false};
    if (params.at("kernel") == "bilinear") {
      loss.kernel = CongruenceKernel::bilinear;
    } else {
      loss.gamma = params.at("gamma");
      loss.order = params.at("max_p");
    }
    if (params.at("reduction") == "sum") loss.reduction = distill::Reduction::sum;
    return loss;
  });
}

TEST_CASE("CorrelationCongruence: parameters out of range") {
  const std::vector<double> x(6, 1);
  const distill::MatrixView view{x.data(), 3, 2};
  const auto throws = [&](CorrelationCongruence loss, const char* message) {
    support::check_throws([&] { loss(view, view); }, {"CorrelationCongruence", message});
  };
  throws({.gamma = 0}, "gamma is 0");
  throws({.order = 0}, "order is 0");
  throws({.order = 65}, "order is 65");
  throws({.kernel = static_cast<CongruenceKernel>(7)}, "kernel is 7");
  throws({.distance = static_cast<CongruenceDistance>(2)}, "distance is 2");
}

TEST_CASE("CorrelationCongruence: rows so small that their length has no inverse") {
  const std::vector<double> student{1e-310, 0, 1, 2, 0, 5e-324}, teacher{1, 2, 2e-310, 1, 0, -1};
  std::vector<double> grad(6);
  const distill::MatrixView s{student.data(), 3, 2}, t{teacher.data(), 3, 2};
  CHECK(std::isfinite(CorrelationCongruence{}(s, t, distill::MatrixView{grad.data(), 3, 2})));
  for (const double g : grad) CHECK(!std::isnan(g));  // it may be beyond the numbers
}
