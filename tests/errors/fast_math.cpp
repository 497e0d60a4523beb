// error: -ffinite-math-only (part of -ffast-math) breaks the handling of NaN and infinity; compile without it (-fno-fast-math after -ffast-math)
// wrong: -std=c++17 -DDISTILL_NO_SIMD -ffast-math "-I@INCLUDE@" @FOREIGN@
#include <distill/logits/kl_divergence.hpp>

double loss(distill::MatrixView<float> student, distill::MatrixView<float> teacher) {
  return distill::KlDivergence{}(student, teacher);
}
