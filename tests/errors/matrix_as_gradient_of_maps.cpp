// error: this gradient is not of the student's kind. Pass a matrix for a matrix, feature maps for feature maps
#include <distill/attention/attention_transfer.hpp>

#if defined(WRONG)
using Gradient = distill::MatrixView<float>;
#else
using Gradient = distill::FeatureMapView<float>;
#endif

double loss(distill::FeatureMapView<float> student, distill::FeatureMapView<float> teacher, Gradient gradient) {
  return distill::AttentionTransfer{}(student, teacher, gradient);
}
