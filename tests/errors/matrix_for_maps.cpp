// error: not feature maps. Pass FeatureMapView{pointer, batch, channels, height, width} for N x C x H x W
#include <distill/attention/attention_transfer.hpp>

double loss(const float* student, const float* teacher) {
#if defined(WRONG)
  return distill::AttentionTransfer{}(distill::MatrixView{student, 10, 1024}, distill::MatrixView{teacher, 10, 1024});
#else
  return distill::AttentionTransfer{}(distill::FeatureMapView{student, 10, 16, 8, 8},
                                      distill::FeatureMapView{teacher, 10, 16, 8, 8});
#endif
}
