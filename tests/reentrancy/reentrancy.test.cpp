// What an executor, or any other function of the caller's, may do while a call of a loss is under way: run other calls
// on the same thread, to any depth, throw, and release scratch memory.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <distill/core/layers.hpp>
#include <distill/core/scratch.hpp>
#include <distill/features/feature_matching.hpp>
#include <distill/logits/kl_divergence.hpp>
#include <functional>
#include <random>
#include <utility>
#include <vector>

#include "docs/thread_pool.hpp"
#include "support/every_loss.hpp"

namespace {

using distill::LoopBody;
using support::AnyLoss;
using support::every_loss;

/// What each loss gives when it runs alone.
const std::vector<std::vector<double>>& results_alone() {
  static const std::vector<std::vector<double>> results = [] {
    std::vector<std::vector<double>> all;
    for (const AnyLoss& loss : every_loss()) all.push_back(loss());
    return all;
  }();
  return results;
}

/// Runs a loop in random order, and at random points of it whatever is given.
struct Shuffled {
  std::mt19937* random;
  std::function<void()> at_some_points;

  void operator()(std::size_t n, LoopBody body) const {
    std::vector<std::size_t> order(n);
    for (std::size_t i = 0; i < n; ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), *random);
    for (const std::size_t i : order) {
      if ((*random)() % 2 == 0) at_some_points();
      body(i);
    }
    at_some_points();
  }
};

/// At a point of a call, runs some of the losses that are waiting, each on an executor that does the same.
class Nested {
 public:
  explicit Nested(unsigned seed) : random_(seed) {}

  void add(std::size_t loss) { waiting_.push_back(loss); }
  void shuffle() { std::shuffle(waiting_.begin(), waiting_.end(), random_); }
  bool is_done() const { return waiting_.empty(); }
  int deepest() const { return deepest_; }

  void run(std::size_t loss) {
    deepest_ = std::max(deepest_, ++depth_);
    const Shuffled executor{&random_, [this] { run_some(); }};
    const std::vector<double> result = every_loss()[loss](executor);
    CHECK_MESSAGE(result == results_alone()[loss], every_loss()[loss].name);
    --depth_;
  }

 private:
  void run_some() {
    for (auto count = random_() % 3; count > 0 && depth_ < 5 && !waiting_.empty(); --count) {
      const std::size_t loss = waiting_.back();
      waiting_.pop_back();
      run(loss);
    }
    if (random_() % 4 == 0) distill::release_scratch();
  }

  std::mt19937 random_;
  std::vector<std::size_t> waiting_;
  int depth_ = 0, deepest_ = 0;
};

/// That no frame was left behind.
void check_scratch_is_free() {
  distill::release_scratch();
  CHECK(distill::scratch_bytes() == 0);
}

struct Interrupted {};

}  // namespace

TEST_CASE("KlDivergence: the executor runs another loss after a block") {
  std::vector<float> student(60000), teacher(60000), small(20);
  for (std::size_t i = 0; i < student.size(); ++i) {
    student[i] = static_cast<float>(i % 7);
    teacher[i] = static_cast<float>(i % 5);
  }
  const distill::KlDivergence kl;
  const distill::MatrixView s{student.data(), 3, 20000}, t{teacher.data(), 3, 20000};
  const double alone = kl(s, t);
  CHECK(alone == doctest::Approx(2.12133591).epsilon(1e-8));
  const auto sequential = [](std::size_t n, LoopBody body) {
    for (std::size_t i = 0; i < n; ++i) body(i);
  };
  const auto executor = [&](std::size_t n, LoopBody body) {
    for (std::size_t i = 0; i < n; ++i) {
      body(i);
      if (i == 1) {
        const distill::MatrixView few{small.data(), 10, 2};
        kl(few, few, {.executor = sequential});
      }
    }
  };
  CHECK(kl(s, t, {.executor = executor}) == alone);
}

TEST_CASE("every loss goes through its executor") {
  for (const AnyLoss& loss : every_loss()) {
    std::size_t blocks = 0;
    const auto executor = [&](std::size_t n, LoopBody body) {
      blocks += n;
      for (std::size_t i = n; i-- > 0;) body(i);
    };
    CHECK_MESSAGE(loss(executor) == loss(), loss.name);
    CHECK_MESSAGE(blocks >= 2, loss.name);
  }
}

TEST_CASE("an executor that runs every other loss, several deep, at random points") {
  const std::size_t count = every_loss().size();
  int deepest = 0;
  for (std::size_t outer = 0; outer < count; ++outer) {
    Nested nested(static_cast<unsigned>(outer));
    for (std::size_t other = 0; other < count; ++other) nested.add(other);
    nested.shuffle();
    while (!nested.is_done()) nested.run(outer);
    deepest = std::max(deepest, nested.deepest());
  }
  CHECK(deepest == 5);
  check_scratch_is_free();
}

TEST_CASE("an executor that throws in the middle: nothing is left behind, and the next call is right") {
  std::mt19937 random(3);
  for (std::size_t k = 0; k < every_loss().size(); ++k) {
    const AnyLoss& loss = every_loss()[k];
    CAPTURE(loss.name);
    int points = 0;
    const Shuffled counting{&random, [&] { ++points; }};
    loss(counting);
    for (int point = 0; point < std::min(points, 4); ++point) {
      int left = point;
      // within two other calls, so that what unwinds them passes through frames of several
      const Shuffled throwing{&random, [&] {
                                if (left-- == 0) throw Interrupted{};
                              }};
      const Shuffled middle{&random, [&] { loss(throwing); }};
      const Shuffled outer{&random, [&] { every_loss()[(k + 1) % every_loss().size()](middle); }};
      CHECK_THROWS_AS(every_loss()[(k + 2) % every_loss().size()](outer), Interrupted);
      CHECK(loss() == results_alone()[k]);
      check_scratch_is_free();
    }
  }
}

TEST_CASE("scratch memory may be released by an executor") {
  std::mt19937 random(4);
  const Shuffled executor{&random, [] { distill::release_scratch(); }};
  for (std::size_t k = 0; k < every_loss().size(); ++k) {
    CAPTURE(every_loss()[k].name);
    CHECK(every_loss()[k](executor) == results_alone()[k]);
    check_scratch_is_free();
  }
}

TEST_CASE("a loss of the caller's own for layers may run others, and throw") {
  const std::vector<float> numbers(12, 0.5f);
  std::vector<float> grad(12);
  const distill::MatrixView s{numbers.data(), 3, 4};
  const std::vector layers(2, distill::layer_pair(s, s, distill::MatrixView{grad.data(), 3, 4}, 1));
  for (std::size_t k = 0; k < every_loss().size(); k += 7) {
    const AnyLoss& loss = every_loss()[k];
    bool throws = false;
    const auto of_layer = [&](auto student, auto teacher, auto gradient, double weight,
                              const distill::RowOptions& options) {
      CHECK(loss(options.executor) == results_alone()[k]);
      if (throws) throw Interrupted{};
      return weight * distill::FeatureMatching{}(student, teacher, gradient, options);
    };
    std::mt19937 random(5);
    const Shuffled executor{&random, [&] { distill::KlDivergence{}(s, s); }};
    distill::RowOptions options;
    options.executor = executor;
    CHECK(distill::sum_over_layers(of_layer, layers, options) == 0);
    throws = true;
    CHECK_THROWS_AS(distill::sum_over_layers(of_layer, layers, options), Interrupted);
    check_scratch_is_free();
  }
}

TEST_CASE("threads that help while they wait: outer loop over calls, inner loops over their blocks") {
  ThreadPool pool(3);
  const auto executor = [&](std::size_t n, LoopBody body) { pool.run(n, body); };
  const std::size_t count = every_loss().size();
  for (int repeat = 0; repeat < 3; ++repeat) {
    std::vector<char> is_right(count, 0);
    executor(count, [&](std::size_t k) { is_right[k] = every_loss()[k](executor) == results_alone()[k]; });
    for (std::size_t k = 0; k < count; ++k) CHECK_MESSAGE(is_right[k], every_loss()[k].name);
  }
  check_scratch_is_free();
}
