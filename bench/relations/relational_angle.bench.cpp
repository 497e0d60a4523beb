#include <distill/relations/relational_angle.hpp>
#include <products.hpp>

namespace {

void relational_angle(benchmark::State& state) {
  bench::relation(state, distill::RelationalAngle{});
}
BENCHMARK(relational_angle)
    ->ArgNames({"rows", "cols"})
    ->Args({64, 512})
    ->Args({256, 512})
    ->Args({1024, 512})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond)
    ->MinTime(0.5);

}  // namespace
