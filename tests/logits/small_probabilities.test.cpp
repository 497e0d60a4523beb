// Where one side excludes a class, by a score of -infinity, the other has mass there from the smallest normal
// probability on: what the headers say of infinite losses.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <distill/distill.hpp>
#include <limits>
#include <string>
#include <vector>

namespace {

using namespace distill;

constexpr double infinite = std::numeric_limits<double>::infinity();

/// Scores whose first class has `log_probability`, class `top` nearly all of the mass, and the others next to none.
template <class S>
std::vector<S> scores(std::size_t n, std::size_t top, double log_probability) {
  std::vector<S> x(n, static_cast<S>(-200));
  x[0] = static_cast<S>(log_probability);
  x[top] = 0;
  return x;
}

template <class S>
void check_losses(std::size_t n, std::size_t top) {
  const double smallest = std::log(static_cast<double>((std::numeric_limits<S>::min)())) + 0.01;
  const std::vector<S> some = scores<S>(n, top, smallest), none = scores<S>(n, top, -infinite);
  const MatrixView<const S> has{some.data(), 1, n}, excludes{none.data(), 1, n};
  const std::vector<int> label{static_cast<int>(top)};
  CAPTURE(n);
  CAPTURE(top);
  CHECK(KlDivergence{}(excludes, has) == infinite);
  CHECK(KlDivergence{.precision = Precision::high}(excludes, has) == infinite);
  CHECK(KnowledgeDistillation{.temperature = 1}(excludes, has, label) == infinite);
  CHECK(AlphaDivergence{.alpha = 1}(excludes, has) == infinite);
  CHECK(JensenShannon{.beta = 0}(excludes, has) == infinite);
  CHECK(SymmetricKl{}(excludes, has) == infinite);
  CHECK(ReverseKl{}(has, excludes) == infinite);
  CHECK(AlphaDivergence{.alpha = 0}(has, excludes) == infinite);
  CHECK(AlphaDivergence{.alpha = -0.5}(has, excludes) == infinite);
  CHECK(JensenShannon{.beta = 1}(has, excludes) == infinite);
  CHECK(SymmetricKl{}(has, excludes) == infinite);
  CHECK(BinaryKl{}(excludes, has) == infinite);
}

}  // namespace

TEST_CASE_TEMPLATE("the smallest normal probability is mass where the other side has none", S, float, double) {
  for (const std::size_t n : {3, 8, 33, 128, 200, 1000}) {
    for (const std::size_t top : {std::size_t{1}, n / 2, n - 1}) check_losses<S>(n, top);
  }
}
