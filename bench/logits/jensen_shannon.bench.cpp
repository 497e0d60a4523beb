#include <distill/logits/jensen_shannon.hpp>
#include <support.hpp>

namespace {

using namespace distill;

void jensen_shannon(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const JensenShannon loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 2,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.g())); });
}
BENCHMARK(jensen_shannon)->Name("jensen_shannon_float/gradient")->Apply(bench::shapes);

}  // namespace
