#include <distill/logits/multi_level.hpp>
#include <support.hpp>

namespace {

using namespace distill;

/// Batches of a classifier: the time grows with the square of the rows.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "cols"})->Args({128, 1024})->Args({512, 1024});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

void multi_level(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const MultiLevel loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 2,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.g())); });
}
BENCHMARK(multi_level)->Name("multi_level_float/gradient")->Apply(shapes);

}  // namespace
