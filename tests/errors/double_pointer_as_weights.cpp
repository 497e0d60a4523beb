// error: row weights are float, and the losses of rows go to double that can be written to. Convert weights of another type first: std::vector<float>(w.begin(), w.end())
#include <distill/logits/kl_divergence.hpp>

#if defined(WRONG)
using Weight = double;
#else
using Weight = float;
#endif

double loss(distill::MatrixView<float> student, distill::MatrixView<float> teacher, const Weight* weights) {
  distill::RowOptions options;
  options.weights = {weights, student.rows};
  return distill::KlDivergence{}(student, teacher, options);
}
