#include <distill/features/activation_boundary.hpp>
#include <support.hpp>

namespace {

using namespace distill;

/// Large maps; a batch of vectors; one that stays in cache; narrow rows.
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "cols"})->Args({64, 200704})->Args({8192, 1024})->Args({64, 1024})->Args({65536, 64});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

template <class T>
void activation_boundary(benchmark::State& state) {
  bench::Batch<T> batch(state);
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(T), 0,
             [&] { benchmark::DoNotOptimize(ActivationBoundary{}(batch.s(), batch.t(), batch.g())); });
}
BENCHMARK(activation_boundary<float>)->Apply(shapes);
BENCHMARK(activation_boundary<bfloat16>)->Apply(shapes);

}  // namespace
