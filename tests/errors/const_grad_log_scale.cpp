// error: grad_log_scale is not writable, or not of log_scale's scalar type. Pass float for float, double for double
#include <distill/features/variational_information.hpp>

#if defined(WRONG)
using GradLogScale = const float;
#else
using GradLogScale = float;
#endif

double loss(distill::FeatureMapView<float> student, distill::FeatureMapView<float> teacher,
            distill::MatrixView<float> log_scale, distill::FeatureMapView<float> grad_student,
            distill::MatrixView<GradLogScale> grad_log_scale) {
  return distill::VariationalInformation{}(student, teacher, log_scale, grad_student, grad_log_scale);
}
