// docs/executors.md: the hosts' threads, each where it is installed; with LibTorch's, tests/adapters/torch.test.cpp.
#include <doctest/doctest.h>

#include <cstddef>
#include <distill/logits/kl_divergence.hpp>
#include <thread>
#include <vector>

#if defined(DISTILL_TEST_TBB)
#include <tbb/parallel_for.h>
#endif

#include "docs/thread_pool.hpp"

namespace {

const std::vector<float> student_logits(60000, 0.25f), teacher_logits = [] {
  std::vector<float> result(60000);
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = static_cast<float>(i % 5);
  return result;
}();
const distill::MatrixView student{student_logits.data(), 6000, 10}, teacher{teacher_logits.data(), 6000, 10};
const distill::KlDivergence kl;

template <class Call>
void check_same(const Call& call) {
  std::vector<float> alone(60000), gradient(60000);
  const double expected = kl(student, teacher, distill::MatrixView{alone.data(), 6000, 10});
  CHECK(call(distill::MatrixView{gradient.data(), 6000, 10}) == expected);
  CHECK(gradient == alone);
}

}  // namespace

#if defined(_OPENMP)
TEST_CASE("docs/executors.md: OpenMP") {
  check_same([](auto grad) {
    double value = kl(student, teacher, grad, {.executor = distill::openmp});
    return value;
  });
}
#endif

#if defined(DISTILL_TEST_TBB)
TEST_CASE("docs/executors.md: oneTBB") {
  check_same([](auto grad) {
    const auto tbb_loop = [](std::size_t n, distill::LoopBody body) { tbb::parallel_for(std::size_t{0}, n, body); };
    double value = kl(student, teacher, grad, {.executor = tbb_loop});
    return value;
  });
}
#endif

TEST_CASE("docs/executors.md: a pool of std::thread") {
  check_same([](auto grad) {
    const unsigned cores = std::thread::hardware_concurrency();  // 0: unknown
    ThreadPool pool(cores > 1 ? cores - 1 : 0);
    const auto pool_loop = [&](std::size_t n, distill::LoopBody body) { pool.run(n, body); };
    double value = kl(student, teacher, grad, {.executor = pool_loop});
    return value;
  });
}

TEST_CASE("docs/executors.md: the pool hands on an exception when no body runs any more") {
  ThreadPool pool(2);
  CHECK_THROWS_AS(pool.run(20, [](std::size_t i) { if (i == 7) throw i; }), std::size_t);
  std::vector<int> seen(20);
  pool.run(20, [&](std::size_t i) { ++seen[i]; });
  CHECK(seen == std::vector<int>(20, 1));
}
