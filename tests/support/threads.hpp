// Executors that run a loop in unusual orders.
#pragma once

#include <atomic>
#include <cstddef>
#include <distill/core/executor.hpp>
#include <thread>
#include <vector>

namespace support {

/// Runs the loop on `count` threads that take the next index whenever they are free.
struct Threads {
  unsigned count;
  void operator()(std::size_t n, distill::LoopBody body) const {
    std::atomic<std::size_t> next{0};
    std::vector<std::thread> threads;
    for (unsigned k = 0; k < count; ++k) {
      threads.emplace_back([&] {
        for (std::size_t i; (i = next++) < n;) body(i);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
};

/// Runs the loop backwards.
struct Backwards {
  void operator()(std::size_t n, distill::LoopBody body) const {
    for (std::size_t i = n; i-- > 0;) body(i);
  }
};

}  // namespace support
