// Calls in a parallel loop of oneTBB, each on such a loop itself: while one waits, its thread works on others.
#include <doctest/doctest.h>

#include <cstddef>
#include <distill/core/scratch.hpp>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>
#include <vector>

#include "support/every_loss.hpp"

using support::every_loss;

TEST_CASE("oneTBB: micro-batches in an outer loop, blocks in inner ones") {
  const std::size_t count = every_loss().size();
  std::vector<std::vector<double>> alone;
  for (const auto& loss : every_loss()) alone.push_back(loss());

  const tbb::global_control threads(tbb::global_control::max_allowed_parallelism, 8);
  tbb::task_arena arena(8);
  const auto tbb_loop = [](std::size_t n, distill::LoopBody body) { tbb::parallel_for(std::size_t{0}, n, body); };
  std::vector<char> is_right(4 * count, 0);
  arena.execute([&] {
    tbb_loop(is_right.size(), [&](std::size_t k) {
      is_right[k] = every_loss()[k % count](tbb_loop) == alone[k % count];
      distill::release_scratch();
    });
  });
  for (std::size_t k = 0; k < is_right.size(); ++k) CHECK_MESSAGE(is_right[k], every_loss()[k % count].name);
  distill::release_scratch();
  CHECK(distill::scratch_bytes() == 0);
}
