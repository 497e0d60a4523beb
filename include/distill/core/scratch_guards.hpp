// What shows a write past the end of an array in scratch memory, where arrays lie side by side. Under AddressSanitizer:
// memory that nobody may touch. With DISTILL_SCRATCH_GUARDS: words that are compared when the arrays are given back, and
// arrays of NaN until they are written. Else nothing, at no cost.
#pragma once

#include <cstddef>

#include <distill/core/version.hpp>

#if defined(DISTILL_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#elif defined(DISTILL_SCRATCH_GUARDS)
#include <cstdio>
#include <cstdlib>
#include <cstring>
#endif

namespace distill {
inline namespace DISTILL_ABI {
namespace detail {

#if defined(DISTILL_ADDRESS_SANITIZER)

/// The guards of a frame's arrays.
class ScratchGuards {
 public:
  static constexpr std::size_t bytes = 64;  // after each array, at least
  static constexpr bool forbids = true;

  static void forbid(void* memory, std::size_t size) { ASAN_POISON_MEMORY_REGION(memory, size); }
  static void allow(void* memory, std::size_t size) { ASAN_UNPOISON_MEMORY_REGION(memory, size); }
  void add(void* array, std::size_t size, std::size_t) { allow(array, size); }
  void inspect() const {}
};

#elif defined(DISTILL_SCRATCH_GUARDS)

class ScratchGuards {
 public:
  static constexpr std::size_t bytes = 64;
  static constexpr bool forbids = false;

  static void forbid(void*, std::size_t) {}
  static void allow(void*, std::size_t) {}

  /// For an array of `size` of the `reserved` bytes. The rest ends with what leads to the guard before.
  void add(void* array, std::size_t size, std::size_t reserved) {
    std::memset(array, 0xff, size);
    const Guard guard{static_cast<unsigned char*>(array) + size, reserved - size - sizeof(Guard)};
    std::memset(guard.begin, value, guard.size);
    std::memcpy(guard.begin + guard.size, &last_, sizeof(Guard));
    last_ = guard;
  }

  void inspect() const {
    for (Guard guard = last_; guard.begin; std::memcpy(&guard, guard.begin + guard.size, sizeof(Guard))) {
      for (std::size_t i = 0; i < guard.size; ++i) {
        if (guard.begin[i] == value) continue;
        std::fprintf(stderr, "distill: byte %zu after the end of an array in scratch memory was written\n", i);
        std::abort();
      }
    }
  }

 private:
  struct Guard {
    unsigned char* begin = nullptr;
    std::size_t size = 0;
  };
  static constexpr unsigned char value = 0xa5;

  Guard last_;
};

#else

class ScratchGuards {
 public:
  static constexpr std::size_t bytes = 0;
  static constexpr bool forbids = false;

  static void forbid(void*, std::size_t) {}
  static void allow(void*, std::size_t) {}
  void add(void*, std::size_t, std::size_t) {}
  void inspect() const {}
};

#endif

}  // namespace detail
}  // namespace DISTILL_ABI
}  // namespace distill
