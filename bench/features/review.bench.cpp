#include <distill/features/review.hpp>
#include <support.hpp>

namespace {

using namespace distill;

/// Maps of early and of late layers, and a batch that stays in cache.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"batch", "channels", "side"})->Args({4, 256, 64})->Args({64, 512, 7})->Args({4, 64, 28});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

template <class T>
void gradient(benchmark::State& state, bool channels_last) {
  const auto n = static_cast<std::size_t>(state.range(0)), c = static_cast<std::size_t>(state.range(1));
  const auto side = static_cast<std::size_t>(state.range(2));
  bench::Batch<T> batch(n, c * side * side);
  Review loss;
  const auto maps = [&](auto* data) {
    return channels_last ? nhwc(data, n, side, side, c) : FeatureMapView{data, n, c, side, side};
  };
  bench::run(state, batch.elements(), 3 * batch.elements() * sizeof(T), 0, [&] {
    benchmark::DoNotOptimize(loss(maps(batch.student.data()), maps(batch.teacher.data()), maps(batch.grad.data())));
  });
}
constexpr auto review = gradient<float>;
BENCHMARK_CAPTURE(review, nchw, false)->Apply(shapes);
BENCHMARK_CAPTURE(review, nhwc, true)->Apply(shapes);
constexpr auto review_bfloat16 = gradient<bfloat16>;
BENCHMARK_CAPTURE(review_bfloat16, nchw, false)->Apply(shapes);

}  // namespace
