// error: -fassociative-math (part of -ffast-math and -funsafe-math-optimizations) makes results wrong; compile without it (-fno-fast-math after either)
// wrong: -std=c++17 -DDISTILL_NO_SIMD -funsafe-math-optimizations "-I@INCLUDE@" @FOREIGN@
#include <distill/logits/kl_divergence.hpp>

double loss(distill::MatrixView<float> student, distill::MatrixView<float> teacher) {
  return distill::KlDivergence{}(student, teacher);
}
