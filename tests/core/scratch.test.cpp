#include <doctest/doctest.h>

#include <csignal>
#include <cstdint>
#include <cstring>
#include <distill/core/scratch.hpp>
#include <thread>
#include <vector>
#if __has_include(<sys/wait.h>)
#include <sys/wait.h>
#include <unistd.h>
#endif

using distill::release_scratch;
using distill::scratch_bytes;
using distill::detail::ScratchFrame;
using distill::detail::ScratchStack;

namespace {

/// Bytes that a test may write and look at again.
struct Bytes {
  unsigned char* data;
  std::size_t size;
  unsigned char value;

  Bytes(ScratchFrame& frame, std::size_t n, int v)
      : data(frame.take<unsigned char>(n)), size(n), value(static_cast<unsigned char>(v)) {
    std::memset(data, value, size);
  }
  bool are_intact() const {
    for (std::size_t i = 0; i < size; ++i) {
      if (data[i] != value) return false;
    }
    return true;
  }
};

}  // namespace

TEST_CASE("a frame's arrays are aligned, and apart") {
  release_scratch();
  ScratchFrame frame;
  std::vector<Bytes> arrays;
  for (std::size_t n = 0; n < 300; n += 7) arrays.emplace_back(frame, n, static_cast<int>(n % 251));
  for (const Bytes& array : arrays) {
    CHECK(reinterpret_cast<std::uintptr_t>(array.data) % 64 == 0);
    CHECK(array.are_intact());
  }
}

TEST_CASE("once the largest need is known, nothing moves") {
  release_scratch();
  CHECK(scratch_bytes() == 0);
  const auto call = [](std::size_t n) {
    ScratchFrame frame;
    const Bytes first(frame, n, 1);
    for (int row = 0; row < 3; ++row) {
      ScratchFrame inner;
      const Bytes second(inner, 3 * n, 2), third(inner, n / 2, 3);
      CHECK((first.are_intact() && second.are_intact() && third.are_intact()));
    }
    return first.data;
  };
  call(1000);
  const std::size_t held = scratch_bytes();
  CHECK(held >= 4500);
  CHECK(held <= 4500 + 3 * 128 + 64);  // one block, no larger than needed
  const unsigned char* const data = call(1000);
  CHECK(call(1000) == data);
  CHECK(call(10) == data);
  CHECK(scratch_bytes() == held);
  call(2000);
  CHECK(scratch_bytes() > held);
  CHECK(scratch_bytes() <= 9000 + 3 * 128 + 64);
}

TEST_CASE("frames on top leave those below alone, also where a frame has nothing yet, or an exception ends them") {
  release_scratch();
  ScratchFrame empty;
  for (int size : {100, 5000, 60000}) {
    try {
      ScratchFrame frame;
      const Bytes bytes(frame, static_cast<std::size_t>(size), 4);
      {
        ScratchFrame inner;
        const Bytes more(inner, 100000, 5);
        CHECK((bytes.are_intact() && more.are_intact()));
      }
      const Bytes later(frame, 100000, 6);
      CHECK((bytes.are_intact() && later.are_intact()));
      throw size;
    } catch (int) {
    }
  }
  const Bytes bytes(empty, 300, 7);
  {
    ScratchFrame frame;
    const Bytes more(frame, 200000, 8);
  }
  CHECK(bytes.are_intact());
}

TEST_CASE("release frees what no frame holds") {
  release_scratch();
  {
    ScratchFrame frame;
    const Bytes bytes(frame, 1000, 1);
    {
      ScratchFrame inner;
      const Bytes more(inner, 50000, 2);
      release_scratch();
      CHECK((bytes.are_intact() && more.are_intact()));
      CHECK(scratch_bytes() > 51000);
    }
    release_scratch();
    CHECK(bytes.are_intact());
    CHECK(scratch_bytes() >= 1000);
    CHECK(scratch_bytes() < 50000);
    const Bytes later(frame, 70000, 3);
    CHECK((bytes.are_intact() && later.are_intact()));
  }
  CHECK(scratch_bytes() > 71000);
  release_scratch();
  CHECK(scratch_bytes() == 0);
  {
    ScratchFrame frame;
    release_scratch();
    CHECK(Bytes(frame, 100, 4).are_intact());
  }
  CHECK(scratch_bytes() > 0);
}

TEST_CASE("a stack in the caller's memory allocates nothing") {
  release_scratch();
  std::vector<unsigned char> memory(1000, 9);
  for (std::size_t begin = 0; begin < 3; ++begin) {
    ScratchStack stack(memory.data() + begin, memory.size() - begin);
    ScratchFrame frame(stack);
    const Bytes first(frame, 100, 1), second(frame, 300, 2);
    CHECK(reinterpret_cast<std::uintptr_t>(first.data) % 64 == 0);
    CHECK(first.data >= memory.data());
    CHECK(second.data + 300 <= memory.data() + memory.size());
    CHECK((first.are_intact() && second.are_intact()));
    CHECK(stack.bytes() == 0);
  }
  CHECK(scratch_bytes() == 0);
  CHECK(memory.back() == 9);  // and may be read again
}

#if __has_include(<sys/wait.h>) && (defined(DISTILL_SCRATCH_GUARDS) || defined(DISTILL_ADDRESS_SANITIZER))
TEST_CASE("a write past the end of an array ends the program") {
  const auto dies = [](std::size_t size, std::size_t position) {
    const pid_t child = fork();
    if (child == 0) {
      std::signal(SIGABRT, SIG_DFL);  // not doctest's
      close(STDERR_FILENO);
      {
        ScratchFrame frame;
        volatile char* const array = frame.take<char>(size);
        frame.take<char>(100);
        array[position] = 1;
      }
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
  };
  for (const std::size_t size : {std::size_t{10}, std::size_t{64}}) {
    CHECK(!dies(size, size - 1));
    CHECK(dies(size, size));
    CHECK(dies(size, size + 15));
  }
}
#endif

TEST_CASE("scratch memory is a thread's own") {
  release_scratch();
  { ScratchFrame().take<char>(100); }
  const std::size_t held = scratch_bytes();
  CHECK(held > 0);
  std::size_t in_other_thread = 1;
  std::thread([&] {
    in_other_thread = scratch_bytes();
    ScratchFrame().take<char>(10000);
  }).join();
  CHECK(in_other_thread == 0);
  CHECK(scratch_bytes() == held);
  release_scratch();
  CHECK(scratch_bytes() == 0);
}
