// The physical limits of a machine: memory, and arithmetic on numbers in L1.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>

#include <distill/kernels/simd/exp2.hpp>
#include <distill/kernels/simd/memory.hpp>

namespace bench {

/// Reads two arrays and writes one.
inline void triad(const float* a, const float* b, float* out, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) out[i] = a[i] + 2 * b[i];
  benchmark::DoNotOptimize(out);
  benchmark::ClobberMemory();
}

/// One exponential of each number; n is a multiple of the lanes' width.
inline void exponentials(const float* x, std::size_t n) {
  using L = distill::kernels::Lanes<float, distill::kernels::DefaultArch>;
  distill::kernels::ExpScale<L> scale(distill::kernels::log2_e);
  scale.set_offset(0);
  L sum(0.0f);
  for (std::size_t i = 0; i < n; i += L::width) {
    sum = sum + distill::kernels::exp2(distill::kernels::exponent(distill::kernels::load<L>(x + i), scale));
  }
  benchmark::DoNotOptimize(sum);
}

}  // namespace bench
