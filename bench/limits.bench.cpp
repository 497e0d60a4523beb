// The physical limits: memory (triad) and arithmetic (exponentials of numbers in L1).
#include <map>

#include <limits.hpp>
#include <support.hpp>

namespace bench {

Limits limits(std::size_t elements) {
  static std::map<std::size_t, std::vector<float>> memory;  // allocated once per size: page faults are not the limit
  std::vector<float>& m = memory[elements];
  if (m.empty()) m.assign(3 * elements, 1.0f);
  const std::size_t repeat = std::max<std::size_t>(1, 1000000 / elements);
  const double triad_seconds = fastest(
      [&] {
        for (std::size_t k = 0; k < repeat; ++k)
          triad(m.data(), m.data() + elements, m.data() + 2 * elements, elements);
      },
      1);
  alignas(64) static float x[2048] = {};
  const double exp_seconds = fastest(
      [&] {
        for (int k = 0; k < 100; ++k) exponentials(x, 2048);
      },
      3);
  return {triad_seconds / static_cast<double>(repeat * elements), exp_seconds / (100 * 2048)};
}

namespace {

void BM_Triad(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0) * state.range(1));
  std::vector<float> a(n, 1.0f), b(n, 1.0f), out(n);
  run(state, n, 3 * n * sizeof(float), 0, [&] { triad(a.data(), b.data(), out.data(), n); });
}
BENCHMARK(BM_Triad)->Apply(shapes);

void BM_Exponentials(benchmark::State& state) {
  alignas(64) static float x[2048] = {};
  run(state, 2048, sizeof(x), 1, [&] { exponentials(x, 2048); });
}
BENCHMARK(BM_Exponentials)->UseManualTime();

}  // namespace
}  // namespace bench
