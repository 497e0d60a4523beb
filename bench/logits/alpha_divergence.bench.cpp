#include <distill/logits/alpha_divergence.hpp>
#include <support.hpp>

namespace {

using namespace distill;

void alpha_divergence(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const AlphaDivergence loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 2,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.g())); });
}
BENCHMARK(alpha_divergence)->Name("alpha_divergence_float/gradient")->Apply(bench::shapes);

}  // namespace
