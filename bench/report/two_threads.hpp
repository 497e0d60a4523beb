// An executor with hardly any overhead.
#pragma once

#include <atomic>
#include <cstddef>
#include <distill/core/executor.hpp>
#include <thread>

namespace report {

/// The caller and one more thread, which spins for a while before it sleeps.
class TwoThreads {
 public:
  TwoThreads() : other_([this] { serve(); }) {}
  TwoThreads(const TwoThreads&) = delete;
  TwoThreads& operator=(const TwoThreads&) = delete;
  ~TwoThreads() {
    body_ = nullptr;
    start();
    other_.join();
  }

  void operator()(std::size_t n, distill::LoopBody body) {
    size_ = n;
    body_ = &body;
    next_ = 0;
    other_is_busy_ = true;
    start();
    run();
    while (other_is_busy_) std::this_thread::yield();
  }

 private:
  void start() {
    ++loop_;
    loop_.notify_one();
  }
  void run() {
    for (std::size_t i; (i = next_++) < size_;) (*body_)(i);
  }
  void serve() {
    for (unsigned seen = 0;;) {
      for (int looks = 0; loop_ == seen; ++looks) {
        looks < 10000 ? std::this_thread::yield() : loop_.wait(seen);
      }
      seen = loop_;  // before the caller, who waits for this thread, can start another
      if (body_ == nullptr) return;
      run();
      other_is_busy_ = false;
    }
  }

  std::size_t size_ = 0;
  const distill::LoopBody* body_ = nullptr;
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> other_is_busy_{false};
  std::atomic<unsigned> loop_{0};
  std::thread other_;  // last, so that it starts when everything else exists
};

}  // namespace report
