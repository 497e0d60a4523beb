// Losses on two feature maps of the same shape.
#pragma once

#include <support.hpp>

namespace bench {

/// Value and gradient for maps of batch x channels x side x side; `exponentials` per element, as for run().
template <class T, class Loss>
void map_gradient(benchmark::State& state, const Loss& loss, bool channels_last, double exponentials = 0) {
  const auto n = static_cast<std::size_t>(state.range(0)), c = static_cast<std::size_t>(state.range(1));
  const auto side = static_cast<std::size_t>(state.range(2));
  Batch<T> batch(n, c * side * side);
  const auto maps = [&](auto* data) {
    return channels_last ? distill::nhwc(data, n, side, side, c) : distill::FeatureMapView{data, n, c, side, side};
  };
  run(state, batch.elements(), 3 * batch.elements() * sizeof(T), exponentials, [&] {
    benchmark::DoNotOptimize(loss(maps(batch.student.data()), maps(batch.teacher.data()), maps(batch.grad.data())));
  });
}

/// Early and late layers, and a batch that stays in cache.
inline void map_shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"batch", "channels", "side"})->Args({4, 256, 64})->Args({64, 512, 7})->Args({4, 64, 28});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

}  // namespace bench
