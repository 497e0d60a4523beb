#include <distill/features/channel_wise.hpp>
#include <maps.hpp>

namespace {

using namespace distill;

/// Maps of a segmentation network, of an image classifier, and class scores of pixels.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"batch", "channels", "side"})->Args({4, 256, 64})->Args({64, 512, 7})->Args({4, 19, 128});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

template <class T>
void gradient(benchmark::State& state, bool channels_last, Precision precision) {
  ChannelWise loss;
  loss.temperature = 4;
  loss.precision = precision;
  bench::map_gradient<T>(state, loss, channels_last, 2);
}
constexpr auto channel_wise = gradient<float>;
BENCHMARK_CAPTURE(channel_wise, nchw, false, Precision::standard)->Apply(shapes);
BENCHMARK_CAPTURE(channel_wise, nchw_high, false, Precision::high)->Apply(shapes);
BENCHMARK_CAPTURE(channel_wise, nhwc, true, Precision::standard)->Apply(shapes);
constexpr auto channel_wise_bfloat16 = gradient<bfloat16>;
BENCHMARK_CAPTURE(channel_wise_bfloat16, nchw, false, Precision::standard)->Apply(shapes);

}  // namespace
