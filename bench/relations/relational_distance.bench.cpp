#include <distill/relations/relational_distance.hpp>
#include <products.hpp>

namespace {

void relational_distance(benchmark::State& state) {
  bench::relation(state, distill::RelationalDistance{});
}
BENCHMARK(relational_distance)->Apply(bench::batches);

}  // namespace
