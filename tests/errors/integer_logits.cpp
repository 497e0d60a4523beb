// error: scores, features and gradients are float, double, half or bfloat16. Convert others, such as integers, first
#include <distill/logits/kl_divergence.hpp>

#if defined(WRONG)
using Logit = int;
#else
using Logit = float;
#endif

double loss(Logit* student, Logit* teacher, Logit* gradient) {
  return distill::KlDivergence{}(distill::MatrixView{student, 10, 3}, distill::MatrixView{teacher, 10, 3},
                                 distill::MatrixView{gradient, 10, 3});
}
