// error: not a vector that can be viewed. Pass MatrixView{pointer, 1, size}, or something contiguous with data() and size()
#include <distill/features/margin_relu.hpp>

double loss(distill::FeatureMapView<float> student, distill::FeatureMapView<float> teacher, const float* margins) {
#if defined(WRONG)
  return distill::MarginRelu{}(student, teacher, margins);
#else
  return distill::MarginRelu{}(student, teacher, distill::MatrixView{margins, 1, student.channels});
#endif
}
