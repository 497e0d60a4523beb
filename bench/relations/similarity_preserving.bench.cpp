#include <distill/relations/similarity_preserving.hpp>
#include <products.hpp>

namespace {

void similarity_preserving(benchmark::State& state) {
  bench::relation(state, distill::SimilarityPreserving{});
}
BENCHMARK(similarity_preserving)->Apply(bench::batches);

}  // namespace
