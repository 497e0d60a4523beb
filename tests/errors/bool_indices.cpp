// error: the teacher's indices must be of an integer type. Convert them first
#include <distill/logits/top_k.hpp>

#if defined(WRONG)
using Index = bool;
#else
using Index = int;
#endif

double loss(distill::MatrixView<float> student, distill::MatrixView<Index> indices,
            distill::MatrixView<float> log_probabilities) {
  return distill::TopKKl{}(student, distill::sparse_teacher(indices, log_probabilities));
}
