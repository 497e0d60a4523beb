#include <doctest/doctest.h>

#include <cmath>
#include <distill/logits/jensen_shannon.hpp>
#include <vector>

#include "support/reference_divergences.hpp"
#include "support/score_loss.hpp"

namespace {

using distill::JensenShannon;
using distill::JensenShannonEnds;
using distill::MatrixView;

double value(const JensenShannon& loss, std::vector<double>* gradient = nullptr) {
  const std::vector<double> student{1, -2, 0.5, 3, 0}, teacher{0, 1, 2.5, -1, 0.25};
  std::vector<double> grad(5);
  const double result =
      loss(MatrixView{student.data(), 1, 5}, MatrixView{teacher.data(), 1, 5}, MatrixView{grad.data(), 1, 5});
  if (gradient) *gradient = grad;
  return result;
}

}  // namespace

TEST_CASE("JensenShannon: value and gradient are the formula's, with every option") {
  for (const double beta : {1e-6, 0.1, 0.5, 0.9, 1 - 1e-6}) {
    support::check_score_loss(support::teacher_loss("JensenShannon", JensenShannon{.temperature = 2, .beta = beta},
                                                    reference::jensen_shannon(2, beta)));
  }
}

TEST_CASE("JensenShannon: the ends are the two KLs, or the formula's own 0") {
  const auto ends = JensenShannonEnds::continuous;
  support::check_score_loss(
      support::teacher_loss("JensenShannon 0", JensenShannon{.temperature = 2, .beta = 0}, reference::forward_kl(2)));
  support::check_score_loss(
      support::teacher_loss("JensenShannon 1", JensenShannon{.temperature = 2, .beta = 1}, reference::reverse_kl(2)));
  for (const double beta : {0.0, 1.0}) {
    support::check_score_loss(
        support::teacher_loss("JensenShannon, continuous", JensenShannon{.beta = beta, .ends = ends},
                              [](const auto&, const auto&, std::size_t, const auto&) { return 0.0L; }));
  }
}

TEST_CASE("JensenShannon: near the ends it goes to 0, and divided by the small share to the two KLs") {
  const double forward = value({.beta = 0}), reverse = value({.beta = 1});
  std::vector<double> forward_gradient, reverse_gradient, gradient;
  value({.beta = 0}, &forward_gradient);
  value({.beta = 1}, &reverse_gradient);
  for (const double share : {1e-3, 1e-6, 1e-9}) {
    CAPTURE(share);
    const auto close = [share](double x) { return doctest::Approx(x).epsilon(100 * share + 1e-8); };
    CHECK(value({.beta = share, .ends = JensenShannonEnds::continuous}) <= 10 * share);
    CHECK(value({.beta = share}, &gradient) / share == close(forward));
    for (std::size_t j = 0; j < 5; ++j) CHECK(gradient[j] / share == close(forward_gradient[j]));
    CHECK(value({.beta = 1 - share}, &gradient) / share == close(reverse));
    for (std::size_t j = 0; j < 5; ++j) CHECK(gradient[j] / share == close(reverse_gradient[j]));
  }
}

TEST_CASE("JensenShannon: ends that are none") {
  support::check_throws([] { value({.ends = static_cast<JensenShannonEnds>(2)}); },
                        {"JensenShannon: ends is 2, expected a JensenShannonEnds"});
}
