#include <distill/logits/knowledge_distillation.hpp>
#include <support.hpp>

namespace {

using namespace distill;

template <class T>
void knowledge_distillation(benchmark::State& state, Precision precision) {
  bench::Batch<T> batch(state);
  KnowledgeDistillation kd;
  kd.precision = precision;
  const std::size_t n = batch.elements();
  bench::run(state, n, 3 * n * sizeof(T), 3,
             [&] { benchmark::DoNotOptimize(kd(batch.s(), batch.t(), batch.labels, batch.g())); });
}
constexpr auto knowledge_distillation_float = knowledge_distillation<float>;
BENCHMARK_CAPTURE(knowledge_distillation_float, gradient, Precision::standard)->Apply(bench::shapes);
BENCHMARK_CAPTURE(knowledge_distillation_float, gradient_high, Precision::high)->Apply(bench::shapes);

}  // namespace
