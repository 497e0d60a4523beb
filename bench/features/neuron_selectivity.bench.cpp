#include <distill/features/neuron_selectivity.hpp>
#include <products.hpp>
#include <support.hpp>

namespace {

using namespace distill;

/// Value and gradient of late and early maps, in units of the products of channels alone (linear: of moving the bytes).
void neuron_selectivity(benchmark::State& state, SelectivityKernel kernel, bool channels_last) {
  const auto n = static_cast<std::size_t>(state.range(0)), c = static_cast<std::size_t>(state.range(1));
  const auto side = static_cast<std::size_t>(state.range(2)), positions = side * side;
  bench::Batch<float> batch(n, c * positions);
  NeuronSelectivity loss;
  loss.kernel = kernel;
  const auto maps = [&](auto* data) {
    return channels_last ? nhwc(data, n, side, side, c) : FeatureMapView{data, n, c, side, side};
  };
  const auto all = [&] {
    benchmark::DoNotOptimize(loss(maps(batch.student.data()), maps(batch.teacher.data()), maps(batch.grad.data())));
  };
  if (kernel == SelectivityKernel::linear) {
    return bench::run(state, batch.elements(), 3 * batch.elements() * sizeof(float), 0, all);
  }
  std::vector<float> gram(c * c);
  const auto products = [&] {  // student with student, student with teacher, teacher with teacher; the first two again
    for (std::size_t i = 0; i < n; ++i) {
      const auto s = kernels::eigen_map(batch.student.data() + i * c * positions, c, positions);
      const auto t = kernels::eigen_map(batch.teacher.data() + i * c * positions, c, positions);
      auto g = kernels::eigen_map(batch.grad.data() + i * c * positions, c, positions);
      auto k = kernels::eigen_map(gram.data(), c, c);
      k.noalias() = t * t.transpose();
      k.noalias() = s * t.transpose();
      g.noalias() = k * t;
      k.noalias() = s * s.transpose();
      g.noalias() += k * s;
    }
    benchmark::ClobberMemory();
  };
  bench::beside_products(state, products, all);
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"batch", "channels", "side"})->Args({16, 512, 7})->Args({4, 128, 28});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}
BENCHMARK_CAPTURE(neuron_selectivity, linear, SelectivityKernel::linear, false)->Apply(shapes);
BENCHMARK_CAPTURE(neuron_selectivity, polynomial, SelectivityKernel::polynomial, false)->Apply(shapes);
BENCHMARK_CAPTURE(neuron_selectivity, gaussian, SelectivityKernel::gaussian, false)->Apply(shapes);
BENCHMARK_CAPTURE(neuron_selectivity, polynomial_nhwc, SelectivityKernel::polynomial, true)->Apply(shapes);

}  // namespace
