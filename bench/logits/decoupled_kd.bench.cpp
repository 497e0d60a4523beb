#include <distill/logits/decoupled_kd.hpp>
#include <support.hpp>

namespace {

using namespace distill;

void decoupled_kd(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const DecoupledKd loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 2,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.labels, batch.g())); });
}
BENCHMARK(decoupled_kd)->Name("decoupled_kd_float/gradient")->Apply(bench::shapes);

}  // namespace
