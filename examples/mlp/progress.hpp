#pragma once

#include <chrono>
#include <mutex>

namespace mlp {

// A progress bar on stderr; silent when that is not a terminal. advance() may be called from any thread.
class Progress {
 public:
  explicit Progress(int total);
  ~Progress();  // wipes the bar
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance();

 private:
  using Clock = std::chrono::steady_clock;

  const int total_;
  const bool visible_;
  const Clock::time_point start_ = Clock::now();
  std::mutex mutex_;
  int done_ = 0;
  Clock::time_point drawn_{};
};

}  // namespace mlp
