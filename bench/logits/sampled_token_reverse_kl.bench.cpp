#include <vector>

#include <distill/logits/sampled_token_reverse_kl.hpp>
#include <support.hpp>

namespace {

using namespace distill;

void sampled_token_reverse_kl(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const std::vector<float> log_p(batch.rows, -3.0f);
  const SampledTokenReverseKl loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 2 * n * sizeof(float), 1,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), sampled_tokens(batch.labels, log_p), batch.g())); });
}
BENCHMARK(sampled_token_reverse_kl)->Name("sampled_token_reverse_kl_float/gradient")->Apply(bench::shapes);

}  // namespace
