// error: an executor refers to an object; wrap a function in a lambda
#include <distill/logits/kl_divergence.hpp>

void in_parallel(std::size_t n, distill::LoopBody body);

double loss(distill::MatrixView<float> student, distill::MatrixView<float> teacher) {
  distill::RowOptions options;
#if defined(WRONG)
  options.executor = in_parallel;
#else
  auto executor = [](std::size_t n, distill::LoopBody body) { in_parallel(n, body); };
  options.executor = executor;
#endif
  return distill::KlDivergence{}(student, teacher, options);
}
