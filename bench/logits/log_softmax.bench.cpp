#include <distill/logits/log_softmax.hpp>
#include <support.hpp>

namespace {

using namespace distill;

template <class T>
void log_softmax(benchmark::State& state, Precision precision) {
  bench::Batch<T> batch(state);
  const std::size_t n = batch.elements();
  bench::run(state, n, 2 * n * sizeof(T), 1, [&] {
    distill::log_softmax(batch.s(), batch.g(), 2, {precision, {}});
    benchmark::ClobberMemory();
  });
}
constexpr auto log_softmax_float = log_softmax<float>;
BENCHMARK_CAPTURE(log_softmax_float, standard, Precision::standard)->Apply(bench::shapes);

void log_softmax_backward(benchmark::State& state) {
  bench::Batch<float> batch(state);
  distill::log_softmax(batch.s(), distill::MatrixView<float>{batch.student.data(), batch.rows, batch.cols});
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 1, [&] {
    distill::log_softmax_backward(batch.s(), batch.t(), batch.g());
    benchmark::ClobberMemory();
  });
}
BENCHMARK(log_softmax_backward)->Apply(bench::shapes);

}  // namespace
