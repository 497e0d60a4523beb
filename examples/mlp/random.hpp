#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace mlp {

// What random numbers are drawn for: each purpose has its own sequence, so that one network's length of training or one
// more experiment does not change the numbers that another one gets.
enum class Purpose : std::uint32_t { split, teacher, student, few_labels, loss };

// Random numbers that are the same with every standard library: the standard defines its generators to the bit, but
// leaves its distributions and std::shuffle to the library.
class Random {
 public:
  Random(std::uint32_t seed, Purpose purpose) {
    std::seed_seq sequence{seed, static_cast<std::uint32_t>(purpose)};
    engine_.seed(sequence);
  }

  // Uniform in [0, 1).
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

  // Uniform in {0, ..., count - 1}. Numbers above the last multiple of count are drawn again: they would favour some.
  std::size_t below(std::size_t count) {
    const std::uint64_t excess = (UINT64_MAX % count + 1) % count;
    std::uint64_t drawn = engine_();
    while (drawn > UINT64_MAX - excess) drawn = engine_();
    return static_cast<std::size_t>(drawn % count);
  }

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace mlp
