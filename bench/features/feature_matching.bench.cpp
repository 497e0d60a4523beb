#include <distill/features/feature_matching.hpp>
#include <support.hpp>

namespace {

using namespace distill;

/// A batch of tokens of a language model; one that stays in cache; large maps; narrow rows.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "cols"})->Args({8192, 1024})->Args({64, 1024})->Args({64, 200704})->Args({65536, 64});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

template <class T>
void gradient(benchmark::State& state, FeatureDistance distance, bool normalize) {
  bench::Batch<T> batch(state);
  const std::size_t n = batch.elements();
  FeatureMatching loss;
  loss.distance = distance;
  loss.normalize = normalize;
  bench::run(state, n, 3 * n * sizeof(T), 0, [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.g())); });
}
constexpr auto feature_matching = gradient<float>;
BENCHMARK_CAPTURE(feature_matching, squared, FeatureDistance::squared, false)->Apply(shapes);
BENCHMARK_CAPTURE(feature_matching, smooth_l1, FeatureDistance::smooth_l1, false)->Apply(shapes);
BENCHMARK_CAPTURE(feature_matching, cosine, FeatureDistance::cosine, false)->Apply(shapes);
BENCHMARK_CAPTURE(feature_matching, squared_normalized, FeatureDistance::squared, true)->Apply(shapes);
constexpr auto feature_matching_bfloat16 = gradient<bfloat16>;
BENCHMARK_CAPTURE(feature_matching_bfloat16, squared, FeatureDistance::squared, false)->Apply(shapes);

}  // namespace
