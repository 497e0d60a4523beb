// Memory that ends exactly at a page without access, and pages without any access.
#pragma once

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>

namespace support {

/// `count` elements; the byte after the last one is on a page without access. The bytes before the first one are on an
/// accessible page.
template <class T>
class Guarded {
 public:
  explicit Guarded(std::size_t count) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t usable = (count * sizeof(T) + page - 1) / page * page;
    size_ = usable + page;
    memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory_ != MAP_FAILED);
    REQUIRE(mprotect(static_cast<char*>(memory_) + usable, page, PROT_NONE) == 0);
    data_ = reinterpret_cast<T*>(static_cast<char*>(memory_) + usable) - count;
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(memory_, size_); }

  T* data() { return data_; }
  T& operator[](std::size_t i) { return data_[i]; }

 private:
  void* memory_;
  std::size_t size_;
  T* data_;
};

/// Pages of which some can be closed: a row that must never be read.
class Pages {
 public:
  explicit Pages(std::size_t count) : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))), size_(count * page_) {
    memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory_ != MAP_FAILED);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() { munmap(memory_, size_); }

  void close(std::size_t page) { REQUIRE(mprotect(at<char>(page), page_, PROT_NONE) == 0); }
  std::size_t page_size() const { return page_; }
  template <class T>
  T* at(std::size_t page) {
    return reinterpret_cast<T*>(static_cast<char*>(memory_) + page * page_);
  }

 private:
  std::size_t page_, size_;
  void* memory_;
};

}  // namespace support
