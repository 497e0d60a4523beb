// error: this gradient is not of the student's scalar type. Pass float for float, double for double
#include <distill/features/feature_matching.hpp>

#if defined(WRONG)
using Gradient = distill::MatrixView<double>;
#else
using Gradient = distill::MatrixView<float>;
#endif

double loss(distill::MatrixView<float> student, distill::MatrixView<double> teacher, Gradient gradient) {
  return distill::FeatureMatching{}(student, teacher, gradient);
}
