#include <distill/relations/probabilistic_transfer.hpp>
#include <products.hpp>

namespace {

void probabilistic_transfer(benchmark::State& state) {
  bench::relation(state, distill::ProbabilisticTransfer{});
}
BENCHMARK(probabilistic_transfer)->Apply(bench::batches);

}  // namespace
