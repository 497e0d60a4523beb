#include <distill/logits/weighted_soft_label.hpp>
#include <support.hpp>

namespace {

using namespace distill;

void weighted_soft_label(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const WeightedSoftLabel loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 4,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.labels, batch.g())); });
}
BENCHMARK(weighted_soft_label)->Name("weighted_soft_label_float/gradient")->Apply(bench::shapes);

}  // namespace
