// No heap allocation after the first call on a shape. This file replaces the program's operator new.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <distill/distill.hpp>
#include <new>
#include <vector>

#include "support/data.hpp"
#include "support/loss_check.hpp"
#include "support/losses.hpp"

namespace {

std::atomic<std::size_t> allocations{0};

void* allocate(std::size_t size, std::size_t alignment) {
  ++allocations;
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment < sizeof(void*) ? sizeof(void*) : alignment, size == 0 ? 1 : size) != 0) {
    throw std::bad_alloc();
  }
  return memory;
}

}  // namespace

void* operator new(std::size_t size) {
  return allocate(size, alignof(std::max_align_t));
}
void* operator new[](std::size_t size) {
  return allocate(size, alignof(std::max_align_t));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
// std::stable_sort's; a sanitizer has one of its own, whose memory is not free's
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
// scratch memory's
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  try {
    return operator new(size, alignment);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace {

struct Sequential {
  void operator()(std::size_t n, distill::LoopBody body) const {
    for (std::size_t i = 0; i < n; ++i) body(i);
  }
};

template <class F>
std::size_t allocations_of(const F& f) {
  const std::size_t before = allocations;
  f();
  return allocations - before;
}

}  // namespace

TEST_CASE_TEMPLATE("only the first call on a shape allocates", Loss, DISTILL_TEST_LOSSES) {
  const support::Scores<float, float> scores(support::Kind::random, 40, 1271);
  support::Scores<float, float> extreme = scores;
  extreme.student.set(3, 5, 3e38);
  support::Matrix<float> grad(40, 1271);
  const Sequential executor;
  const std::vector<int> zeros(40, 0);
  for (const distill::Precision precision : support::both_precisions) {
    Loss loss;
    loss.loss.precision = precision;
    const auto call = [&] {
      distill::RowOptions options;
      loss(scores.student.view(), scores.teacher.view(), scores.labels, options);
      loss(scores.student.view(), scores.teacher.view(), scores.labels, grad.view(), options);
      loss(extreme.student.view(), scores.teacher.view(), scores.labels, grad.view(), options);
      options.executor = executor;
      loss(scores.student.view(), scores.teacher.view(), scores.labels, distill::add_to(grad.view()), options);
    };
    distill::release_scratch();
    CHECK(distill::scratch_bytes() == 0);
    CHECK(allocations_of(call) > 0);
    CHECK(distill::scratch_bytes() > 0);
    CHECK(allocations_of(call) == 0);
    const auto call_smaller = [&](std::size_t cols) {
      return [&, cols] {
        loss(distill::MatrixView{scores.student.view().data, 40, cols, 1271},
             distill::MatrixView{scores.teacher.view().data, 40, cols, 1271}, zeros,
             distill::MatrixView{grad.view().data, 40, cols, 1271});
      };
    };
    CHECK(allocations_of(call_smaller(200)) == 0);
    const std::size_t held = distill::scratch_bytes();
    // three rows, or one of long double where the row is computed exactly
    const std::size_t of_row = std::max(3 * (1271 + 64) * sizeof(float), (1271 + 4) * sizeof(long double));
    CHECK(held <= of_row + 64 + 40 * sizeof(double));
    allocations_of(call_smaller(100));  // short rows are computed together, and may need more
    CHECK(allocations_of(call_smaller(100)) == 0);
    distill::release_scratch();
    CHECK(distill::scratch_bytes() == 0);
    CHECK(allocations_of(call) > 0);  // and works again
  }
}

TEST_CASE("softmax allocates on the first call on a shape only") {
  const support::Scores<float, float> scores(support::Kind::random, 3, 500);
  support::Matrix<float> out(3, 500);
  distill::release_scratch();
  const auto call = [&] {
    distill::softmax(scores.student.view(), out.view());
    distill::log_softmax(scores.student.view(), out.view());
    distill::softmax_backward(scores.student.view(), scores.teacher.view(), out.view());
    distill::log_softmax_backward(scores.student.view(), scores.teacher.view(), out.view());
  };
  CHECK(allocations_of(call) > 0);
  CHECK(allocations_of(call) == 0);
}
