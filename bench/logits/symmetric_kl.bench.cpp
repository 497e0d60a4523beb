#include <distill/logits/symmetric_kl.hpp>
#include <support.hpp>

namespace {

using namespace distill;

void symmetric_kl(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const SymmetricKl loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 2,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.g())); });
}
BENCHMARK(symmetric_kl)->Name("symmetric_kl_float/gradient")->Apply(bench::shapes);

}  // namespace
