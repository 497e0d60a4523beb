#include <distill/attention/attention_matrix.hpp>
#include <support.hpp>

namespace {

using namespace distill;

/// Of a base model: short and long sequences; a small one that stays in cache.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"batch", "heads", "tokens"})->Args({8, 12, 128})->Args({8, 12, 512})->Args({1, 4, 64});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

/// `padding`: the last eighth of the tokens does not count.
template <class T>
void gradient(benchmark::State& state, const AttentionMatrix& loss, double exponentials, bool padding) {
  const auto n = static_cast<std::size_t>(state.range(0)), heads = static_cast<std::size_t>(state.range(1));
  const auto tokens = static_cast<std::size_t>(state.range(2));
  bench::Batch<T> batch(n, heads * tokens * tokens);
  std::vector<unsigned char> mask(n * tokens, 1);
  for (std::size_t i = 0; padding && i < n; ++i) {
    for (std::size_t t = tokens - tokens / 8; t < tokens; ++t) mask[i * tokens + t] = 0;
  }
  const auto view = [&](auto* data) { return FeatureMapView{data, n, heads, tokens, tokens}; };
  const T *const student = batch.student.data(), *const teacher = batch.teacher.data();
  bench::run(state, batch.elements(), 3 * batch.elements() * sizeof(T), exponentials, [&] {
    const auto grad = view(batch.grad.data());
    benchmark::DoNotOptimize(padding ? loss(view(student), view(teacher), TokenMask{mask.data(), n, tokens}, grad)
                                     : loss(view(student), view(teacher), grad));
  });
}

AttentionMatrix matrix(AttentionMatrixDistance distance, AttentionHeads heads = AttentionHeads::each,
                       bool causal = false) {
  AttentionMatrix loss;
  loss.distance = distance;
  loss.heads = heads;
  loss.causal = causal;
  return loss;
}
constexpr auto squared = AttentionMatrixDistance::squared;
constexpr auto kl = AttentionMatrixDistance::kl;

constexpr auto attention_matrix = gradient<float>;
BENCHMARK_CAPTURE(attention_matrix, squared, matrix(squared), 0, false)->Apply(shapes);
BENCHMARK_CAPTURE(attention_matrix, squared_padding, matrix(squared), 0, true)->Apply(shapes);
BENCHMARK_CAPTURE(attention_matrix, squared_mean, matrix(squared, AttentionHeads::mean), 0, false)->Apply(shapes);
BENCHMARK_CAPTURE(attention_matrix, kl, matrix(kl), 2, false)->Apply(shapes);
BENCHMARK_CAPTURE(attention_matrix, kl_causal, matrix(kl, AttentionHeads::each, true), 2, false)->Apply(shapes);
constexpr auto attention_matrix_bfloat16 = gradient<bfloat16>;
BENCHMARK_CAPTURE(attention_matrix_bfloat16, squared, matrix(squared), 0, false)->Apply(shapes);
BENCHMARK_CAPTURE(attention_matrix_bfloat16, kl, matrix(kl), 2, false)->Apply(shapes);

}  // namespace
