#include <distill/features/variational_information.hpp>
#include <maps.hpp>

namespace {

using namespace distill;

/// As map_shapes(), and hidden states of a transformer.
void shapes(benchmark::internal::Benchmark* b) {
  b->Args({8192, 768, 1});
  bench::map_shapes(b);
}

template <class T>
void gradient(benchmark::State& state, bool channels_last) {
  const std::vector<float> log_scale(static_cast<std::size_t>(state.range(1)), 1);
  std::vector<float> grad_log_scale(log_scale.size());
  const auto loss = [&](const auto& student, const auto& teacher, const auto& grad) {
    return VariationalInformation{}(student, teacher, log_scale, grad, grad_log_scale);
  };
  bench::map_gradient<T>(state, loss, channels_last);
}
constexpr auto variational_information = gradient<float>;
BENCHMARK_CAPTURE(variational_information, nchw, false)->Apply(shapes);
BENCHMARK_CAPTURE(variational_information, nhwc, true)->Apply(shapes);
constexpr auto variational_information_bfloat16 = gradient<bfloat16>;
BENCHMARK_CAPTURE(variational_information_bfloat16, nchw, false)->Apply(shapes);

}  // namespace
