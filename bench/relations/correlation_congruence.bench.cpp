#include <distill/relations/correlation_congruence.hpp>
#include <products.hpp>

namespace {

void correlation_congruence(benchmark::State& state) {
  bench::relation(state, distill::CorrelationCongruence{});
}
BENCHMARK(correlation_congruence)->Apply(bench::batches);

}  // namespace
