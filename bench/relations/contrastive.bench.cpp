#include <distill/relations/contrastive.hpp>
#include <products.hpp>

namespace {

void contrastive(benchmark::State& state) {
  bench::relation(state, distill::Contrastive{});
}
BENCHMARK(contrastive)->Apply(bench::batches);

}  // namespace
