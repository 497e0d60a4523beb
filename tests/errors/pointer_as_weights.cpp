// error: row weights and losses have a length, which is checked. Pass the vector itself, or {pointer, rows}
#include <distill/logits/kl_divergence.hpp>

double loss(distill::MatrixView<float> student, distill::MatrixView<float> teacher, const float* weights) {
  distill::RowOptions options;
#if defined(WRONG)
  options.weights = weights;
#else
  options.weights = {weights, student.rows};
#endif
  return distill::KlDivergence{}(student, teacher, options);
}
