// error: not a matrix that can be viewed. Pass MatrixView{pointer, rows, cols}
#include <distill/logits/kl_divergence.hpp>

double loss(const float* student, const float* teacher) {
#if defined(WRONG)
  return distill::KlDivergence{}(student, teacher);
#else
  return distill::KlDivergence{}(distill::MatrixView{student, 10, 3}, distill::MatrixView{teacher, 10, 3});
#endif
}
