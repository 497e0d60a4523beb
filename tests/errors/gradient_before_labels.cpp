// error: integers where a matrix is expected. The order is student, teacher, labels, gradient
#include <distill/logits/knowledge_distillation.hpp>
#include <vector>

double loss(distill::MatrixView<float> student, distill::MatrixView<float> teacher, const std::vector<int>& labels,
            distill::MatrixView<float> gradient) {
#if defined(WRONG)
  return distill::KnowledgeDistillation{}(student, teacher, gradient, labels);
#else
  return distill::KnowledgeDistillation{}(student, teacher, labels, gradient);
#endif
}
