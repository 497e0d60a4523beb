// error: row weights are float, and the losses of rows go to double that can be written to
#include <distill/logits/kl_divergence.hpp>
#include <vector>

#if defined(WRONG)
using Losses = std::vector<float>;
#else
using Losses = std::vector<double>;
#endif

double loss(distill::MatrixView<float> student, distill::MatrixView<float> teacher, Losses& losses) {
  distill::RowOptions options;
  options.losses = losses;
  return distill::KlDivergence{}(student, teacher, options);
}
