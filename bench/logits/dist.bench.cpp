#include <distill/logits/dist.hpp>
#include <support.hpp>

namespace {

using namespace distill;

/// A batch of a classifier, and the shape that other losses are measured at.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "cols"})->Args({128, 1024})->Args({512, 32000});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

void dist(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const Dist loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 2,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.g())); });
}
BENCHMARK(dist)->Name("dist_float/gradient")->Apply(shapes);

}  // namespace
