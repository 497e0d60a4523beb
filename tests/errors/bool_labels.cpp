// error: labels are class indices and must be of an integer type. Convert them first
#include <distill/logits/cross_entropy.hpp>

#if defined(WRONG)
using Label = bool;
#else
using Label = unsigned char;
#endif

double loss(distill::MatrixView<float> student, distill::LabelsView<Label> labels) {
  return distill::CrossEntropy{}(student, labels);
}
