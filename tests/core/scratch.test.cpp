#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <distill/core/scratch.hpp>
#include <thread>

TEST_CASE("a buffer grows, is aligned, and is kept") {
  distill::detail::ScratchBuffer buffer;
  CHECK(buffer.size() == 0);
  void* const first = buffer.reserve(100);
  CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
  std::memset(first, 1, 100);
  CHECK(buffer.reserve(50) == first);
  CHECK(buffer.reserve(100) == first);
  CHECK(buffer.size() == 100);
  void* const second = buffer.reserve(5000);
  CHECK(reinterpret_cast<std::uintptr_t>(second) % 64 == 0);
  std::memset(second, 2, 5000);
  CHECK(buffer.size() == 5000);
  buffer.release();
  CHECK(buffer.size() == 0);
  buffer.release();
  CHECK(buffer.reserve(10) != nullptr);
}

TEST_CASE("scratch memory is a thread's own") {
  distill::release_scratch();
  CHECK(distill::scratch_bytes() == 0);
  distill::detail::scratch().rows.reserve(64);
  distill::detail::scratch().losses.reserve(32);
  CHECK(distill::scratch_bytes() == 96);
  std::size_t in_other_thread = 1;
  std::thread([&] {
    in_other_thread = distill::scratch_bytes();
    distill::detail::scratch().rows.reserve(1000);
  }).join();
  CHECK(in_other_thread == 0);
  CHECK(distill::scratch_bytes() == 96);
  distill::release_scratch();
  CHECK(distill::scratch_bytes() == 0);
}
