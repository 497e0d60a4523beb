#include <distill/logits/skewed_reverse_kl.hpp>
#include <support.hpp>

namespace {

using namespace distill;

void skewed_reverse_kl(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const SkewedReverseKl loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 2,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.g())); });
}
BENCHMARK(skewed_reverse_kl)->Name("skewed_reverse_kl_float/gradient")->Apply(bench::shapes);

}  // namespace
