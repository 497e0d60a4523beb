#include <distill/features/factor_transfer.hpp>
#include <support.hpp>

namespace {

using namespace distill;

/// Samples of channels x positions: large maps; small ones; some that stay in cache.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "cols", "channels"})->Args({32, 802816, 256})->Args({512, 25088, 512})->Args({4, 25088, 512});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

void factor_transfer(benchmark::State& state, Factor factor, FactorDistance distance) {
  bench::Batch<float> batch(state);
  const std::size_t n = batch.elements(), channels = static_cast<std::size_t>(state.range(2));
  const auto maps = [&](auto view) { return FeatureMapView{view.data, batch.rows, channels, batch.cols / channels}; };
  FactorTransfer loss;
  loss.factor = factor;
  loss.distance = distance;
  bench::run(state, n, 3 * n * sizeof(float), 0,
             [&] { benchmark::DoNotOptimize(loss(maps(batch.s()), maps(batch.t()), maps(batch.g()))); });
}
BENCHMARK_CAPTURE(factor_transfer, features_absolute, Factor::features, FactorDistance::absolute)->Apply(shapes);
BENCHMARK_CAPTURE(factor_transfer, features_euclidean, Factor::features, FactorDistance::euclidean)->Apply(shapes);
BENCHMARK_CAPTURE(factor_transfer, energy_absolute, Factor::energy, FactorDistance::absolute)->Apply(shapes);

}  // namespace
