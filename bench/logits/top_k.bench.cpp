#include <cmath>
#include <vector>

#include <distill/logits/top_k.hpp>
#include <support.hpp>

namespace {

using namespace distill;

/// A language model's vocabulary with growing k, and the shape that the dense losses are measured at.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "cols", "k"});
  b->Args({64, 128000, 8})->Args({64, 128000, 64})->Args({64, 128000, 512})->Args({512, 32000, 64});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

void top_k(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const auto k = static_cast<std::size_t>(state.range(2));
  std::vector<int> indices(batch.rows * k);
  for (std::size_t i = 0; i < batch.rows; ++i) {
    // all over the row, in no order, none twice: the factor is prime
    for (std::size_t j = 0; j < k; ++j) indices[i * k + j] = static_cast<int>((i + 7919 * j) % batch.cols);
  }
  const std::vector<float> log_p(indices.size(), std::log(0.9f / static_cast<float>(k)));
  const auto teacher =
      sparse_teacher(MatrixView{indices.data(), batch.rows, k}, MatrixView{log_p.data(), batch.rows, k});
  const TopKKl loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 2 * n * sizeof(float) + indices.size() * (sizeof(int) + sizeof(float)), 1,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), teacher, batch.g())); });
}
BENCHMARK(top_k)->Name("top_k_kl_float/gradient")->Apply(shapes);

}  // namespace
