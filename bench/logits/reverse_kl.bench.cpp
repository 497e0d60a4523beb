#include <array>

#include <distill/logits/reverse_kl.hpp>
#include <support.hpp>

namespace {

using namespace distill;

void reverse_kl(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const ReverseKl loss{};
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(float), 2,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), batch.t(), batch.g())); });
}
BENCHMARK(reverse_kl)->Name("reverse_kl_float/gradient")->Apply(bench::shapes);

void reverse_kl_of_two_teachers(benchmark::State& state) {
  bench::Batch<float> batch(state);
  const bench::Batch<float> other(state);
  const ReverseKl loss{};
  const std::array teachers{weighted(batch.t(), 0.5), weighted(other.t(), 0.5)};
  const std::size_t n = batch.elements();
  bench::run(state, n, 4 * n * sizeof(float), 3,
             [&] { benchmark::DoNotOptimize(loss(batch.s(), teachers, batch.g())); });
}
BENCHMARK(reverse_kl_of_two_teachers)->Name("reverse_kl_float/gradient_two_teachers")->Apply(bench::shapes);

}  // namespace
