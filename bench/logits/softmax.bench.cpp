#include <distill/logits/softmax.hpp>
#include <support.hpp>

namespace {

using namespace distill;

template <class T>
void softmax(benchmark::State& state, Precision precision) {
  bench::Batch<T> batch(state);
  const std::size_t n = batch.elements();
  bench::run(state, n, 2 * n * sizeof(T), 1, [&] {
    distill::softmax(batch.s(), batch.g(), 2, {precision, {}});
    benchmark::ClobberMemory();
  });
}
constexpr auto softmax_float = softmax<float>;
BENCHMARK_CAPTURE(softmax_float, standard, Precision::standard)->Apply(bench::shapes);
BENCHMARK_CAPTURE(softmax_float, high, Precision::high)->Apply(bench::shapes);

void softmax_backward(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 0, [&] {
    distill::softmax_backward(batch.s(), batch.t(), batch.g());
    benchmark::ClobberMemory();
  });
}
BENCHMARK(softmax_backward)->Apply(bench::shapes);

}  // namespace
