#include <distill/features/projected.hpp>
#include <products.hpp>

namespace {

using namespace distill;

/// Value and all gradients, in units of the three products alone.
void projected_squared(benchmark::State& state) {
  const auto rows = state.range(0), inputs = state.range(1), outputs = state.range(2);
  using bench::Matrix;
  const Matrix student = Matrix::Random(rows, inputs), weights = Matrix::Random(outputs, inputs);
  const Matrix teacher = Matrix::Random(rows, outputs);
  const Eigen::VectorXf bias = Eigen::VectorXf::Random(outputs);
  Matrix grad(rows, inputs), grad_weights(outputs, inputs), projected(rows, outputs);
  Eigen::VectorXf grad_bias(outputs);
  const Projected<FeatureMatching> loss{};
  const auto products = [&] {
    projected.noalias() = student * weights.transpose();
    grad_weights.noalias() = projected.transpose() * student;
    grad.noalias() = projected * weights;
    benchmark::ClobberMemory();
  };
  const auto all = [&] {
    benchmark::DoNotOptimize(
        loss(student, linear_projection(weights, bias), teacher, grad, linear_projection(grad_weights, grad_bias)));
  };
  bench::beside_products(state, products, all);
}
BENCHMARK(projected_squared)
    ->ArgNames({"rows", "inputs", "outputs"})
    ->Args({1024, 256, 768})
    ->Args({4096, 64, 256})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond)
    ->MinTime(0.5);

}  // namespace
