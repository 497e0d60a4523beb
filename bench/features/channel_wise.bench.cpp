#include <distill/features/channel_wise.hpp>
#include <support.hpp>

namespace {

using namespace distill;

/// Maps of a segmentation network, of an image classifier, and class scores of pixels.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"batch", "channels", "side"})->Args({4, 256, 64})->Args({64, 512, 7})->Args({4, 19, 128});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

template <class T>
void gradient(benchmark::State& state, bool channels_last, Precision precision) {
  const auto n = static_cast<std::size_t>(state.range(0)), c = static_cast<std::size_t>(state.range(1));
  const auto side = static_cast<std::size_t>(state.range(2));
  bench::Batch<T> batch(n, c * side * side);
  ChannelWise loss;
  loss.temperature = 4;
  loss.precision = precision;
  const auto maps = [&](auto* data) {
    return channels_last ? nhwc(data, n, side, side, c) : FeatureMapView{data, n, c, side, side};
  };
  bench::run(state, batch.elements(), 3 * batch.elements() * sizeof(T), 2, [&] {
    benchmark::DoNotOptimize(loss(maps(batch.student.data()), maps(batch.teacher.data()), maps(batch.grad.data())));
  });
}
constexpr auto channel_wise = gradient<float>;
BENCHMARK_CAPTURE(channel_wise, nchw, false, Precision::standard)->Apply(shapes);
BENCHMARK_CAPTURE(channel_wise, nchw_high, false, Precision::high)->Apply(shapes);
BENCHMARK_CAPTURE(channel_wise, nhwc, true, Precision::standard)->Apply(shapes);
constexpr auto channel_wise_bfloat16 = gradient<bfloat16>;
BENCHMARK_CAPTURE(channel_wise_bfloat16, nchw, false, Precision::standard)->Apply(shapes);

}  // namespace
