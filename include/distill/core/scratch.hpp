// The library's only state: a buffer per thread, which grows to the longest row seen and is then reused.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace detail {

/// Uninitialised memory, aligned to a cache line, that only ever grows.
class ScratchBuffer {
 public:
  /// At least `bytes` bytes; previous contents are lost.
  void* reserve(std::size_t bytes) {
    if (bytes > size_) {
      release();
      data_ = ::operator new(bytes, alignment);
      size_ = bytes;
    }
    return data_;
  }
  void release() noexcept {
    ::operator delete(data_, alignment);
    data_ = nullptr;
    size_ = 0;
  }
  std::size_t size() const noexcept { return size_; }

  ScratchBuffer() = default;
  ScratchBuffer(const ScratchBuffer&) = delete;
  ScratchBuffer& operator=(const ScratchBuffer&) = delete;
  ~ScratchBuffer() { release(); }

 private:
  static constexpr std::align_val_t alignment{64};
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

struct Scratch {
  ScratchBuffer rows;      // what a kernel keeps of a row
  ScratchBuffer losses;    // the rows' losses, where an executor computes them out of order
  ScratchBuffer products;  // projected rows
  ScratchBuffer inputs;    // what a kernel is given of a row, where that is not the caller's memory
  ScratchBuffer classes;   // what a kernel knows of each class, to sort them
  ScratchBuffer batch;     // what a loss keeps of a batch's pairs
};

inline Scratch& scratch() {
  thread_local Scratch buffers;
  return buffers;
}

/// The bytes of an array of T that ends at a cache line.
template <class T>
constexpr std::size_t bytes_of(std::size_t count) {
  return (count * sizeof(T) + 63) / 64 * 64;
}

/// Arrays one after another in a buffer, each starting at a cache line.
class ScratchArrays {
 public:
  ScratchArrays(ScratchBuffer& buffer, std::size_t bytes) : ScratchArrays(buffer.reserve(bytes)) {}
  /// In memory that begins at a cache line.
  explicit ScratchArrays(void* memory) : next_(static_cast<char*>(memory)) {}

  template <class T>
  T* take(std::size_t count) {
    T* const result = reinterpret_cast<T*>(next_);
    next_ += bytes_of<T>(count);
    return result;
  }

 private:
  char* next_;
};

}  // namespace detail

/// Frees the calling thread's scratch memory; the next call allocates it again.
inline void release_scratch() noexcept {
  detail::scratch().rows.release();
  detail::scratch().losses.release();
  detail::scratch().products.release();
  detail::scratch().inputs.release();
  detail::scratch().classes.release();
  detail::scratch().batch.release();
}

/// The bytes of scratch memory that the calling thread holds.
inline std::size_t scratch_bytes() noexcept {
  const detail::Scratch& buffers = detail::scratch();
  return buffers.rows.size() + buffers.losses.size() + buffers.products.size() + buffers.inputs.size() +
         buffers.classes.size() + buffers.batch.size();
}

}  // namespace DISTILL_ABI
}  // namespace distill
