// error: not labels that can be viewed. Pass LabelsView{pointer, size}
#include <distill/logits/knowledge_distillation.hpp>

double loss(distill::MatrixView<float> student, distill::MatrixView<float> teacher, const int* labels) {
#if defined(WRONG)
  return distill::KnowledgeDistillation{}(student, teacher, labels);
#else
  return distill::KnowledgeDistillation{}(student, teacher, distill::LabelsView{labels, 10});
#endif
}
