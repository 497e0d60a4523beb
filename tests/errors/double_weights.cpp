// error: row weights are float, and the losses of rows go to double that can be written to. Convert weights of another type first: std::vector<float>(w.begin(), w.end())
#include <distill/logits/kl_divergence.hpp>
#include <vector>

#if defined(WRONG)
using Weights = std::vector<double>;
#else
using Weights = std::vector<float>;
#endif

double loss(distill::MatrixView<float> student, distill::MatrixView<float> teacher, const Weights& weights) {
  distill::RowOptions options;
  options.weights = weights;
  return distill::KlDivergence{}(student, teacher, options);
}
