#include <distill/attention/value_relation.hpp>
#include <products.hpp>

namespace {

using namespace distill;

/// Value and gradient, in units of the three products of each head alone, and of the machine's limits for all pairs of
/// tokens: two exponentials, or two reads and a write. Twelve heads of a base model, and the 48 of MiniLMv2.
template <class T>
void value_relation(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0)), heads = static_cast<std::size_t>(state.range(1));
  const auto tokens = static_cast<std::size_t>(state.range(2));
  const std::size_t student_width = 384, teacher_width = 768, pairs = n * heads * tokens * tokens;
  bench::Batch<T> student(n * tokens, student_width), teacher(n * tokens, teacher_width);
  for (auto* values : {&student.student, &teacher.teacher}) {
    for (T& x : *values) detail::store_scalar(&x, detail::load_scalar<float>(&x) / 3);
  }
  ValueRelation loss;
  loss.relation_heads = heads;
  const auto all = [&] {
    benchmark::DoNotOptimize(loss(nhwc(student.student.data(), n, tokens, 1, student_width),
                                  nhwc(teacher.teacher.data(), n, tokens, 1, teacher_width),
                                  nhwc(student.grad.data(), n, tokens, 1, student_width)));
  };
  const auto size = [](std::size_t i) { return static_cast<Eigen::Index>(i); };
  const bench::Matrix s = bench::Matrix::Random(size(tokens), size(student_width / heads));
  const bench::Matrix t = bench::Matrix::Random(size(tokens), size(teacher_width / heads));
  bench::Matrix s_products(size(tokens), size(tokens)), t_products(size(tokens), size(tokens)), grad = s;
  const auto products = [&] {
    for (std::size_t k = 0; k < n * heads; ++k) {
      s_products.noalias() = s * s.transpose();
      t_products.noalias() = t * t.transpose();
      grad.noalias() = s_products * s;
      benchmark::ClobberMemory();
    }
  };
  double seconds = 0, product_seconds = 0, limit_seconds = 0;
  for (auto _ : state) {  // in turn, so that all meet the same machine
    const bench::Limits limits = bench::limits(pairs);
    limit_seconds +=
        static_cast<double>(pairs) * std::max(limits.triad_seconds_per_element, 2 * limits.exp_seconds_per_element);
    product_seconds += bench::fastest(products, 1);
    const double once = bench::fastest(all, 1);
    seconds += once;
    state.SetIterationTime(once);
  }
  state.counters["time/products"] = seconds / product_seconds;
  state.counters["time/limit"] = seconds / limit_seconds;
}
BENCHMARK(value_relation<float>)
    ->ArgNames({"batch", "heads", "tokens"})
    ->Args({8, 12, 128})
    ->Args({8, 12, 512})
    ->Args({8, 48, 128})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond)
    ->MinTime(0.5);
BENCHMARK(value_relation<bfloat16>)
    ->ArgNames({"batch", "heads", "tokens"})
    ->Args({8, 12, 128})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond)
    ->MinTime(0.5);

}  // namespace
