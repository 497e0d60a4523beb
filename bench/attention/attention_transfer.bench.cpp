#include <distill/attention/attention_transfer.hpp>
#include <support.hpp>

namespace {

using namespace distill;

/// Maps of a convolutional network, early and late in it.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"batch", "channels", "side"})->Args({64, 256, 28})->Args({64, 512, 7})->Args({4, 64, 28});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

template <class T>
void gradient(benchmark::State& state, double power, bool channels_last, bool pool_teacher) {
  const auto n = static_cast<std::size_t>(state.range(0)), c = static_cast<std::size_t>(state.range(1));
  const auto side = static_cast<std::size_t>(state.range(2)), teacher_side = pool_teacher ? 2 * side : side;
  bench::Batch<T> batch(n, c * side * side), teacher(n, c * teacher_side * teacher_side);
  AttentionTransfer loss;
  loss.power = power;
  const auto maps = [&](auto* data, std::size_t width) {
    return channels_last ? nhwc(data, n, width, width, c) : FeatureMapView{data, n, c, width, width};
  };
  const std::size_t elements = n * c * (side * side + (pool_teacher ? teacher_side * teacher_side : 0));
  bench::run(state, elements, 3 * elements * sizeof(T), 0, [&] {
    benchmark::DoNotOptimize(loss(maps(batch.student.data(), side), maps(teacher.teacher.data(), teacher_side),
                                  maps(batch.grad.data(), side)));
  });
}
constexpr auto attention_transfer = gradient<float>;
BENCHMARK_CAPTURE(attention_transfer, nchw, 2, false, false)->Apply(shapes);
BENCHMARK_CAPTURE(attention_transfer, nhwc, 2, true, false)->Apply(shapes);
BENCHMARK_CAPTURE(attention_transfer, power_4, 4, false, false)->Apply(shapes);
BENCHMARK_CAPTURE(attention_transfer, pooled, 2, false, true)->Apply(shapes);
constexpr auto attention_transfer_bfloat16 = gradient<bfloat16>;
BENCHMARK_CAPTURE(attention_transfer_bfloat16, nchw, 2, false, false)->Apply(shapes);

}  // namespace
