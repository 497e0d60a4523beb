#include <distill/logits/total_variation.hpp>
#include <support.hpp>

namespace {

using namespace distill;

void total_variation(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const TotalVariation loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 2,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.g())); });
}
BENCHMARK(total_variation)->Name("total_variation_float/gradient")->Apply(bench::shapes);

}  // namespace
