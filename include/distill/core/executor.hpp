// Threads are the caller's: a loss runs its blocks of rows on the executor passed, sequentially by default.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {

/// A reference to a loop body, `body(i)`: cheap to copy, valid until the call that made it returns.
class LoopBody {
 public:
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, LoopBody>>>
  LoopBody(const F& body) noexcept
      : object_(std::addressof(body)),
        call_([](const void* object, std::size_t i) { (*static_cast<const F*>(object))(i); }) {}

  void operator()(std::size_t i) const { call_(object_, i); }

 private:
  const void* object_;
  void (*call_)(const void*, std::size_t);
};

/// A non-owning reference to a callable `executor(n, body)` that calls `body(i)` once for every i in [0, n), and
/// returns when all have returned. A thread pool's parallel-for fits in one line:
///
///     auto pool = [&](std::size_t n, distill::LoopBody body) { my_pool.parallel_for(0, n, body); };
///     kl(student, teacher, grad, {.executor = pool});
///
/// It may call the body in any order and on any threads, run other calls of the library on these threads meanwhile, as
/// pools do whose waiting threads help, and throw, once no body runs any more. It may not call a body twice or leave
/// one out, return or throw while one runs, move a call that has begun to another thread, or resume calls on one thread
/// in another order than the last begun first, as schedulers of fibres do. See docs/executors.md.
///
/// Where rows of class scores are few (up to 64) and have more than 16,384 classes, the bodies of KL, cross entropy, the
/// divergences and their combinations are parts of rows; the exponentials of eight rows are kept then.
///
/// Default-constructed it runs the loop in the calling thread.
class Executor {
 public:
  Executor() = default;

  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, Executor> &&
                                              std::is_invocable_v<F&, std::size_t, LoopBody>>>
  Executor(F&& executor) noexcept {
    // first, as otherwise the failed cast would be the compiler's first error
    static_assert(!std::is_function_v<std::remove_reference_t<F>>,
                  "distill: an executor refers to an object; wrap a function in a lambda");
    object_ = const_cast<void*>(static_cast<const void*>(std::addressof(executor)));
    call_ = [](void* object, std::size_t n, LoopBody body) {
      (*static_cast<std::remove_reference_t<F>*>(object))(n, body);
    };
  }

  bool is_sequential() const noexcept { return call_ == nullptr; }

  void operator()(std::size_t n, LoopBody body) const {
    if (call_) {
      call_(object_, n, body);
    } else {
      for (std::size_t i = 0; i < n; ++i) body(i);
    }
  }

 private:
  void* object_ = nullptr;
  void (*call_)(void*, std::size_t, LoopBody) = nullptr;
};

#if defined(_OPENMP)
/// Runs the loop on OpenMP's threads; only exists if OpenMP is enabled.
struct OpenMp {
  void operator()(std::size_t n, LoopBody body) const {
#pragma omp parallel for schedule(dynamic)
    for (std::size_t i = 0; i < n; ++i) body(i);
  }
};
inline constexpr OpenMp openmp{};
#endif

}  // namespace DISTILL_ABI
}  // namespace distill
