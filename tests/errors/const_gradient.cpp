// error: this gradient is const. Pass a matrix or view that can be written to
#include <distill/logits/kl_divergence.hpp>

#if defined(WRONG)
using Gradient = distill::MatrixView<const float>;
#else
using Gradient = distill::MatrixView<float>;
#endif

double loss(distill::MatrixView<float> student, distill::MatrixView<float> teacher, Gradient gradient) {
  return distill::KlDivergence{}(student, teacher, gradient);
}
