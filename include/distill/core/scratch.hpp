// The library's only state: a stack of scratch memory a thread, which grows to what the largest call needed and is then
// reused.
//
// Each call takes its arrays in a frame. What runs on the same thread before that call is over, as an executor may run
// other calls while it waits, takes frames on top of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>

#include <distill/core/scratch_guards.hpp>
#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace detail {

/// The bytes of an array of T that ends at a cache line, and of its guard.
template <class T>
constexpr std::size_t bytes_of(std::size_t count) {
  return (count * sizeof(T) + 63) / 64 * 64 + ScratchGuards::bytes;
}

/// Uninitialised memory for frames, aligned to cache lines. What does not fit into a block goes on in another; when the
/// last frame is given back, one block takes the place of all.
class ScratchStack {
 public:
  /// Where the next array lies, and where its block ends.
  struct Position {
    char* next = nullptr;
    char* end = nullptr;
  };

  constexpr ScratchStack() = default;
  /// In memory of the caller's, from a cache line on.
  ScratchStack(void* memory, std::size_t bytes) {
    std::align(alignof(Block), 0, memory, bytes);
    top_ = callers_ = {static_cast<char*>(memory), static_cast<char*>(memory) + bytes};
    ScratchGuards::forbid(memory, bytes);
  }
  ScratchStack(const ScratchStack&) = delete;
  ScratchStack& operator=(const ScratchStack&) = delete;
  ~ScratchStack() {
    release();
    ScratchGuards::allow(callers_.next, static_cast<std::size_t>(callers_.end - callers_.next));
  }

  [[gnu::always_inline]] Position open() {
    ++frames_;
    return top_;
  }
  [[gnu::always_inline]] void close(Position begin) {
    if constexpr (ScratchGuards::forbids) forbid_from(begin);
    top_ = begin;
    if (--frames_ == 0 && is_scattered_) gather();
  }
  [[gnu::always_inline]] void* take(std::size_t bytes) {
    if (bytes > static_cast<std::size_t>(top_.end - top_.next)) grow(bytes);
    char* const result = top_.next;
    top_.next += bytes;
    return result;
  }

  /// Frees all that no frame holds.
  void release() noexcept {
    while (last_ && (frames_ == 0 || last_->end() != top_.end)) pop();
    most_ = last_ ? last_->used_below + last_->size : 0;
    if (!last_) top_ = callers_;
  }
  /// The bytes that it holds.
  std::size_t bytes() const noexcept {
    std::size_t sum = 0;
    for (const Block* block = last_; block; block = block->below) sum += sizeof(Block) + block->size;
    return sum;
  }

 private:
  struct alignas(64) Block {
    Block* below;
    std::size_t size;
    std::size_t used_below;  // bytes of the blocks below when this one was entered

    char* begin() { return reinterpret_cast<char*>(this + 1); }
    char* end() { return begin() + size; }
  };

  [[gnu::noinline]] void grow(std::size_t bytes) {
    is_scattered_ = true;
    Block *here = last_, *next = nullptr;
    for (; here && here->end() != top_.end; here = here->below) next = here;
    const std::size_t used = here ? here->used_below + static_cast<std::size_t>(top_.next - here->begin()) : 0;
    if (!next || next->size < bytes) {
      while (last_ != here) pop();
      push(::operator new(sizeof(Block) + bytes, alignment), bytes);
      next = last_;
    }
    next->used_below = used;
    most_ = (std::max)(most_, used + next->size);
    top_ = {next->begin(), next->end()};
  }

  [[gnu::noinline]] void gather() noexcept {
    is_scattered_ = false;
    if (last_ && (last_->below || last_->size < most_)) {
      const std::size_t bytes = most_;
      release();
      if (void* const memory = ::operator new(sizeof(Block) + bytes, alignment, std::nothrow)) push(memory, bytes);
      most_ = bytes;
    }
    top_ = last_ ? Position{last_->begin(), last_->end()} : callers_;
  }

  void push(void* memory, std::size_t size) {
    last_ = ::new (memory) Block{last_, size, 0};
    ScratchGuards::forbid(last_->begin(), size);
  }
  void pop() noexcept {
    Block* const block = last_;
    last_ = block->below;
    ScratchGuards::allow(block->begin(), block->size);
    ::operator delete(block, alignment);
  }

  void forbid_from(Position begin) {
    if (begin.end == top_.end) {
      ScratchGuards::forbid(begin.next, static_cast<std::size_t>(top_.next - begin.next));
      return;
    }
    for (Block* block = last_; block && block->end() != begin.end; block = block->below) {
      ScratchGuards::forbid(block->begin(), block->size);
    }
    ScratchGuards::forbid(begin.next, static_cast<std::size_t>(begin.end - begin.next));
  }

  static constexpr std::align_val_t alignment{alignof(Block)};

  Position top_;
  std::size_t frames_ = 0;     // that are not given back
  bool is_scattered_ = false;  // over blocks
  Block* last_ = nullptr;
  std::size_t most_ = 0;  // bytes in use at a time
  Position callers_;      // the caller's memory
};

/// The calling thread's stack.
inline ScratchStack& scratch() {
  thread_local ScratchStack stack;
  return stack;
}

/// A call's arrays, each from a cache line on, on top of the stack until the end of the scope. Frames are given back by
/// the thread that took them, the last one first.
class ScratchFrame {
 public:
  [[gnu::always_inline]] ScratchFrame() : ScratchFrame(scratch()) {}
  [[gnu::always_inline]] explicit ScratchFrame(ScratchStack& stack) : stack_(stack), begin_(stack.open()) {}
  ScratchFrame(const ScratchFrame&) = delete;
  ScratchFrame& operator=(const ScratchFrame&) = delete;
  [[gnu::always_inline]] ~ScratchFrame() {
    guards_.inspect();
    stack_.close(begin_);
  }

  template <class T>
  [[gnu::always_inline]] T* take(std::size_t count) {
    void* const array = stack_.take(bytes_of<T>(count));
    guards_.add(array, count * sizeof(T), bytes_of<T>(count));
    return static_cast<T*>(array);
  }

 private:
  ScratchStack& stack_;
  ScratchStack::Position begin_;
  ScratchGuards guards_;
};

}  // namespace detail

/// Frees the calling thread's scratch memory; the next call allocates it again. What a call that is not over holds, as
/// in an executor, is kept.
inline void release_scratch() noexcept {
  detail::scratch().release();
}

/// The bytes of scratch memory that the calling thread holds.
inline std::size_t scratch_bytes() noexcept {
  return detail::scratch().bytes();
}

}  // namespace DISTILL_ABI
}  // namespace distill
