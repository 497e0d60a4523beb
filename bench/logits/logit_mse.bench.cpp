#include <distill/logits/logit_mse.hpp>
#include <support.hpp>

namespace {

using namespace distill;

void logit_mse(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const LogitMse loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 0,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.g())); });
}
BENCHMARK(logit_mse)->Name("logit_mse_float/gradient")->Apply(bench::shapes);

}  // namespace
