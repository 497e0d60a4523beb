#include <distill/features/review.hpp>
#include <maps.hpp>

namespace {

template <class T>
void gradient(benchmark::State& state, bool channels_last) {
  bench::map_gradient<T>(state, distill::Review{}, channels_last);
}
constexpr auto review = gradient<float>;
BENCHMARK_CAPTURE(review, nchw, false)->Apply(bench::map_shapes);
BENCHMARK_CAPTURE(review, nhwc, true)->Apply(bench::map_shapes);
constexpr auto review_bfloat16 = gradient<distill::bfloat16>;
BENCHMARK_CAPTURE(review_bfloat16, nchw, false)->Apply(bench::map_shapes);

}  // namespace
