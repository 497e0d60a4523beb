#include <distill/features/pearson_features.hpp>
#include <maps.hpp>

namespace {

template <class T>
void gradient(benchmark::State& state, bool channels_last) {
  bench::map_gradient<T>(state, distill::PearsonFeatures{}, channels_last);
}
constexpr auto pearson_features = gradient<float>;
BENCHMARK_CAPTURE(pearson_features, nchw, false)->Apply(bench::map_shapes);
BENCHMARK_CAPTURE(pearson_features, nhwc, true)->Apply(bench::map_shapes);
constexpr auto pearson_features_bfloat16 = gradient<distill::bfloat16>;
BENCHMARK_CAPTURE(pearson_features_bfloat16, nchw, false)->Apply(bench::map_shapes);

}  // namespace
