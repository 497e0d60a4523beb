#include <doctest/doctest.h>

#include <distill/core/executor.hpp>
#include <functional>
#include <vector>

namespace {

using distill::Executor;
using distill::LoopBody;

std::vector<std::size_t> indices(const Executor& executor, std::size_t n) {
  std::vector<std::size_t> seen;
  executor(n, [&](std::size_t i) { seen.push_back(i); });
  return seen;
}

struct Backwards {
  void operator()(std::size_t n, LoopBody body) const {
    for (std::size_t i = n; i-- > 0;) body(i);
  }
};

struct Counting {
  int calls = 0;
  void operator()(std::size_t n, LoopBody body) {
    ++calls;
    for (std::size_t i = 0; i < n; ++i) body(i);
  }
};

void plain_function(std::size_t n, LoopBody body) {
  for (std::size_t i = 0; i < n; i += 2) body(i);
  for (std::size_t i = 1; i < n; i += 2) body(i);
}

using Indices = std::vector<std::size_t>;

}  // namespace

TEST_CASE("the default is sequential") {
  CHECK(Executor{}.is_sequential());
  CHECK(indices({}, 3) == Indices{0, 1, 2});
  CHECK(indices({}, 0).empty());
}

TEST_CASE("any callable will do") {
  const Backwards constant;
  CHECK(!Executor(constant).is_sequential());
  CHECK(indices(constant, 3) == Indices{2, 1, 0});
  Counting counting;
  CHECK(indices(counting, 3) == Indices{0, 1, 2});
  CHECK(counting.calls == 1);  // by reference
  int calls = 0;
  auto lambda = [&](std::size_t n, LoopBody body) {
    ++calls;
    for (std::size_t i = 0; i < n; ++i) body(i);
  };
  CHECK(indices(lambda, 2) == Indices{0, 1});
  CHECK(calls == 1);
  void (*const pointer)(std::size_t, LoopBody) = &plain_function;
  CHECK(indices(pointer, 4) == Indices{0, 2, 1, 3});
  const std::function<void(std::size_t, const std::function<void(std::size_t)>&)> pool =
      [](std::size_t n, const std::function<void(std::size_t)>& body) {
        for (std::size_t i = 0; i < n; ++i) body(i);
      };
  CHECK(indices(pool, 2) == Indices{0, 1});
}

TEST_CASE("a copy refers to what the original refers to") {
  Executor sequential;
  Executor copy(sequential);  // from one that is not const
  CHECK(copy.is_sequential());
  const Backwards backwards;
  Executor original(backwards);
  Executor second(original);
  original = Executor{};
  CHECK(indices(second, 3) == Indices{2, 1, 0});
  const Executor constant(second);
  CHECK(indices(constant, 3) == Indices{2, 1, 0});
}

#if defined(_OPENMP)
TEST_CASE("openmp visits every index once") {
  std::vector<int> seen(100);
  Executor(distill::openmp)(100, [&](std::size_t i) { ++seen[i]; });
  CHECK(seen == std::vector<int>(100, 1));
}
#endif
