// error: this loss takes more than student and teacher; pass sum_over_layers a callable (student, teacher, grad, weight, options)
#include <distill/core/layers.hpp>
#include <distill/features/margin_relu.hpp>
#include <vector>

double loss(distill::FeatureMapView<float> student, distill::FeatureMapView<float> teacher,
            const std::vector<float>& margins) {
  const std::vector layers{distill::layer_pair(student, teacher, 1)};
#if defined(WRONG)
  (void)margins;
  return distill::sum_over_layers(distill::MarginRelu{}, layers);
#else
  const auto one_layer = [&](auto s, auto t, auto grad, double weight, const distill::RowOptions& options) {
    distill::MarginRelu margin_relu;
    margin_relu.weight = weight;
    return margin_relu(s, t, margins, grad, options);
  };
  return distill::sum_over_layers(one_layer, layers);
#endif
}
