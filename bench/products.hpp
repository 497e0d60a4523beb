// Losses on pairs, relative to their matrix products alone, which are the lower limit.
#pragma once

#include <Eigen/Core>
#include <support.hpp>

namespace bench {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Reports the time of `loss` in units of that of `products`, measured in turn, so that both meet the same machine.
template <class Products, class Loss>
void beside_products(benchmark::State& state, const Products& products, const Loss& loss) {
  double seconds = 0, product_seconds = 0;
  for (auto _ : state) {
    product_seconds += fastest(products, 1);
    const double t = fastest(loss, 1);
    seconds += t;
    state.SetIterationTime(t);
  }
  state.counters["time/products"] = seconds / product_seconds;
}

/// A loss on a batch's pairs: the products of the student's rows and of the teacher's, and one with the gradient's
/// coefficients. A product of rows with themselves is symmetric: half of it is computed.
template <class Loss>
void relation(benchmark::State& state, const Loss& loss) {
  const Eigen::Index rows = state.range(0), cols = state.range(1);
  const Matrix student = Matrix::Random(rows, cols), teacher = Matrix::Random(rows, cols);
  Matrix pairs = Matrix::Zero(rows, rows), other = Matrix::Zero(rows, rows), grad(rows, cols);
  beside_products(
      state,
      [&] {
        pairs.selfadjointView<Eigen::Lower>().rankUpdate(student);
        other.selfadjointView<Eigen::Lower>().rankUpdate(teacher);
        grad.noalias() = pairs * student;
        benchmark::ClobberMemory();
      },
      [&] { benchmark::DoNotOptimize(loss(student, teacher, grad)); });
}

/// Typical training batches of embeddings.
inline void batches(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "cols"})->Args({64, 512})->Args({256, 512})->Args({1024, 512})->Args({4096, 512});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

}  // namespace bench
