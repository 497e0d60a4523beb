// What holds on any number of threads. All of it is also run under the thread sanitizer.
#include <doctest/doctest.h>

#include <distill/distill.hpp>
#include <vector>

#include "support/data.hpp"
#include "support/hidden_losses.hpp"
#include "support/losses.hpp"
#include "support/outcome.hpp"
#include "support/threads.hpp"

namespace {

using distill::RowOptions;
using support::run;

}  // namespace

TEST_CASE_TEMPLATE("any number of threads gives the same bits", Loss, DISTILL_TEST_LOSSES, DISTILL_TEST_HIDDEN_LOSSES) {
  for (const std::size_t cols : {std::size_t{10}, std::size_t{1271}}) {
    const std::size_t rows = cols == 10 ? 9000 : 150;
    const support::Scores<float, float> scores(support::Kind::random, rows, cols);
    std::vector<float> weights(rows, 1);
    weights[7] = 0;
    weights[8] = 0.3f;
    RowOptions options;
    options.weights = weights;
    const auto sequential = run(Loss{}, scores, options);
    for (unsigned count = 1; count <= 8; ++count) {
      const support::Threads threads{count};
      options.executor = threads;
      CHECK(run(Loss{}, scores, options).same_bits(sequential));
      // without per-row losses
      CHECK(Loss{}(scores.student.view(), scores.teacher.view(), scores.labels, options) ==
            Loss{}(scores.student.view(), scores.teacher.view(), scores.labels, [&] {
              RowOptions o;
              o.weights = weights;
              return o;
            }()));
    }
    const support::Backwards backwards;
    options.executor = backwards;
    CHECK(run(Loss{}, scores, options).same_bits(sequential));
  }
}

TEST_CASE("softmax gives the same bits on any number of threads") {
  const support::Scores<float, float> scores(support::Kind::random, 5000, 10);
  support::Matrix<float> sequential(5000, 10), parallel(5000, 10), log_sequential(5000, 10);
  distill::softmax(scores.student.view(), sequential.view());
  distill::log_softmax(scores.student.view(), log_sequential.view());
  for (unsigned count = 1; count <= 8; ++count) {
    const support::Threads threads{count};
    distill::SoftmaxOptions options;
    options.executor = threads;
    distill::softmax(scores.student.view(), parallel.view(), 1, options);
    CHECK(parallel.same_bits(sequential));
    distill::log_softmax(scores.student.view(), parallel.view(), 1, options);
    CHECK(parallel.same_bits(log_sequential));
  }
}
