#include <distill/relations/channel_gram.hpp>
#include <products.hpp>

namespace {

void channel_gram(benchmark::State& state) {
  const auto batch = static_cast<std::size_t>(state.range(0)), channels = static_cast<std::size_t>(state.range(1)),
             size = static_cast<std::size_t>(state.range(2));
  const bench::Batch<float> maps(batch, channels * size * size);
  bench::Matrix grad(state.range(0), state.range(1) * state.range(2) * state.range(2));
  const auto view = [&](auto* data) { return distill::FeatureMapView{data, batch, channels, size, size}; };
  using Map = Eigen::Map<const bench::Matrix>;
  bench::Matrix student = bench::Matrix::Zero(state.range(1), state.range(1)), teacher = student,
                products(state.range(1), state.range(2) * state.range(2));
  bench::beside_products(
      state,
      [&] {
        for (std::size_t n = 0; n < batch; ++n) {
          const Map s(maps.s().row(n), products.rows(), products.cols()), t(maps.t().row(n), s.rows(), s.cols());
          student.selfadjointView<Eigen::Lower>().rankUpdate(s);
          teacher.selfadjointView<Eigen::Lower>().rankUpdate(t);
          products.noalias() = student * s;
          benchmark::ClobberMemory();
        }
      },
      [&] {
        benchmark::DoNotOptimize(
            distill::ChannelGram{}(view(maps.student.data()), view(maps.teacher.data()), view(grad.data())));
      });
}
BENCHMARK(channel_gram)
    ->ArgNames({"batch", "channels", "size"})
    ->Args({64, 64, 32})
    ->Args({64, 512, 7})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond)
    ->MinTime(0.5);

}  // namespace
