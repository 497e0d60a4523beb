// error: the projection's gradient must be linear_projection(grad_weights, grad_bias) or add_to() of it, writable and of the weights' scalar type
#include <distill/features/projected.hpp>

#if defined(WRONG)
using Gradient = double;
#else
using Gradient = float;
#endif

double loss(distill::MatrixView<float> student, distill::MatrixView<float> teacher, distill::MatrixView<float> weights,
            distill::MatrixView<float> grad_student, distill::MatrixView<Gradient> grad_weights) {
  const distill::Projected hint{distill::FeatureMatching{}};
  return hint(student, distill::linear_projection(weights), teacher, grad_student,
              distill::linear_projection(grad_weights));
}
