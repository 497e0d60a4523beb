#include <distill/logits/logit_cosine.hpp>
#include <support.hpp>

namespace {

using namespace distill;

void logit_cosine(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const LogitCosine loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 0,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.g())); });
}
BENCHMARK(logit_cosine)->Name("logit_cosine_float/gradient")->Apply(bench::shapes);

}  // namespace
