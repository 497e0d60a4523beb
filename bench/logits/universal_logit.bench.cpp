#include <distill/logits/universal_logit.hpp>
#include <support.hpp>

namespace {

using namespace distill;

/// Few, as both rows are sorted.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "cols"})->Args({512, 32000})->Args({128, 1024});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

void universal_logit(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const UniversalLogit loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 2,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.g())); });
}
BENCHMARK(universal_logit)->Name("universal_logit_float/gradient")->Apply(shapes);

}  // namespace
