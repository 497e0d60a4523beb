#include <distill/features/margin_relu.hpp>
#include <support.hpp>

namespace {

using namespace distill;

/// Rows of maps of `channels` x `positions`: large maps; small ones; some that stay in cache.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "cols", "channels"})->Args({32, 802816, 256})->Args({512, 25088, 512})->Args({4, 25088, 512});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

template <class T>
void gradient(benchmark::State& state, bool channels_last) {
  bench::Batch<T> batch(state);
  const std::size_t n = batch.elements(), channels = static_cast<std::size_t>(state.range(2));
  const std::vector<float> margins(channels, -0.5f);
  const auto maps = [&](auto view) {
    return channels_last ? nhwc(view.data, batch.rows, batch.cols / channels, 1, channels)
                         : FeatureMapView{view.data, batch.rows, channels, batch.cols / channels};
  };
  bench::run(state, n, 3 * n * sizeof(T), 0, [&] {
    benchmark::DoNotOptimize(MarginRelu{}(maps(batch.s()), maps(batch.t()), margins, maps(batch.g())));
  });
}
constexpr auto margin_relu = gradient<float>;
BENCHMARK_CAPTURE(margin_relu, nchw, false)->Apply(shapes);
BENCHMARK_CAPTURE(margin_relu, nhwc, true)->Apply(shapes);
constexpr auto margin_relu_bfloat16 = gradient<bfloat16>;
BENCHMARK_CAPTURE(margin_relu_bfloat16, nchw, false)->Apply(shapes);

}  // namespace
