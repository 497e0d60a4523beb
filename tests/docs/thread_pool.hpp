// The thread pool of docs/executors.md.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <distill/core/executor.hpp>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

class ThreadPool {
 public:
  explicit ThreadPool(unsigned threads) {
    for (; threads > 0; --threads) threads_.emplace_back([this] { work_until([this] { return stops_; }); });
  }
  ~ThreadPool() {
    {
      const std::lock_guard lock(mutex_);
      stops_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // Returns when all are done; until then the calling thread helps. Rethrows the first exception.
  void run(std::size_t n, distill::LoopBody body) {
    Loop loop{body, n, nullptr};
    {
      const std::lock_guard lock(mutex_);
      for (std::size_t i = 0; i < n; ++i) tasks_.push_back({&loop, i});
    }
    changed_.notify_all();
    work_until([&] { return loop.left == 0; });
    if (loop.error) std::rethrow_exception(loop.error);
  }

 private:
  struct Loop {
    distill::LoopBody body;
    std::size_t left;
    std::exception_ptr error;
  };
  struct Task {
    Loop* loop;
    std::size_t i;
  };

  template <class IsDone>
  void work_until(const IsDone& is_done) {
    std::unique_lock lock(mutex_);
    while (!is_done()) {
      if (tasks_.empty()) {
        changed_.wait(lock);
        continue;
      }
      const Task task = tasks_.back();  // anyone's: a part of another call may run on top of the one that waits
      tasks_.pop_back();
      lock.unlock();
      std::exception_ptr error;
      try {
        task.loop->body(task.i);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (error && !task.loop->error) task.loop->error = error;
      if (--task.loop->left == 0) changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  bool stops_ = false;
  std::vector<std::thread> threads_;
};
