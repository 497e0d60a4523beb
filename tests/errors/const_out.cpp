// error: this out is const. Pass a matrix or view that can be written to
#include <distill/logits/softmax.hpp>

#if defined(WRONG)
using Out = const float;
#else
using Out = float;
#endif

void probabilities(distill::MatrixView<float> logits, distill::MatrixView<Out> out) {
  distill::softmax(logits, out);
}
