// error: scores, features and gradients are float, double, half or bfloat16. Convert others, such as integers, first
#include <distill/attention/attention_transfer.hpp>

#if defined(WRONG)
using Pixel = unsigned char;
#else
using Pixel = float;
#endif

double loss(const float* student, const Pixel* teacher) {
  return distill::AttentionTransfer{}(distill::FeatureMapView{student, 10, 16, 8, 8},
                                      distill::FeatureMapView{teacher, 10, 16, 8, 8});
}
