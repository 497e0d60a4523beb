#include <distill/relations/linear_cka.hpp>
#include <products.hpp>

namespace {

void linear_cka(benchmark::State& state) {
  bench::relation(state, distill::LinearCka{});
}
BENCHMARK(linear_cka)->Apply(bench::batches);

}  // namespace
