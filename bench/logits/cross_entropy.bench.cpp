#include <distill/logits/cross_entropy.hpp>
#include <support.hpp>

namespace {

using namespace distill;

template <class T>
void cross_entropy(benchmark::State& state, double label_smoothing) {
  bench::Batch<T> batch(state);
  CrossEntropy ce;
  ce.label_smoothing = label_smoothing;
  const std::size_t n = batch.elements();
  bench::run(state, n, 2 * n * sizeof(T), 1, [&] { benchmark::DoNotOptimize(ce(batch.s(), batch.labels, batch.g())); });
}
constexpr auto cross_entropy_float = cross_entropy<float>;
BENCHMARK_CAPTURE(cross_entropy_float, gradient, 0)->Apply(bench::shapes);
BENCHMARK_CAPTURE(cross_entropy_float, gradient_smoothed, 0.1)->Apply(bench::shapes);

}  // namespace
