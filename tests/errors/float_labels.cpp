// error: labels are class indices and must be of an integer type. Convert them first
#include <distill/logits/knowledge_distillation.hpp>
#include <vector>

#if defined(WRONG)
using Labels = std::vector<float>;
#else
using Labels = std::vector<int>;
#endif

double loss(distill::MatrixView<float> student, distill::MatrixView<float> teacher, const Labels& labels) {
  return distill::KnowledgeDistillation{}(student, teacher, labels);
}
