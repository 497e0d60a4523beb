#include <distill/logits/kl_divergence.hpp>
#include <support.hpp>

namespace {

using namespace distill;

template <class T>
void kl_divergence(benchmark::State& state, Precision precision, bool with_gradient) {
  bench::Batch<T> batch(state);
  KlDivergence kl;
  kl.temperature = 2;
  kl.precision = precision;
  const std::size_t n = batch.elements();
  bench::run(state, n, (with_gradient ? 3 : 2) * n * sizeof(T), 2, [&] {
    const double loss = with_gradient ? kl(batch.s(), batch.t(), batch.g()) : kl(batch.s(), batch.t());
    benchmark::DoNotOptimize(loss);
  });
}
constexpr auto kl_divergence_bfloat16 = kl_divergence<bfloat16>;
constexpr auto kl_divergence_double = kl_divergence<double>;
constexpr auto kl_divergence_float = kl_divergence<float>;
constexpr auto kl_divergence_half = kl_divergence<half>;
BENCHMARK_CAPTURE(kl_divergence_float, gradient, Precision::standard, true)->Apply(bench::shapes);
BENCHMARK_CAPTURE(kl_divergence_float, gradient_high, Precision::high, true)->Apply(bench::shapes);
BENCHMARK_CAPTURE(kl_divergence_float, value, Precision::standard, false)->Apply(bench::shapes);
BENCHMARK_CAPTURE(kl_divergence_double, gradient, Precision::standard, true)->Apply(bench::shapes);
BENCHMARK_CAPTURE(kl_divergence_bfloat16, gradient, Precision::standard, true)->Apply(bench::shapes);
BENCHMARK_CAPTURE(kl_divergence_half, gradient, Precision::standard, true)->Apply(bench::shapes);

}  // namespace
