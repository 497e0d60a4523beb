#include <distill/logits/knowledge_distillation.hpp>

#include "count.hpp"

void instructions::knowledge_distillation() {
  const distill::KnowledgeDistillation kd{.temperature = 2};
  count_labelled("knowledge_distillation 4x1024", kd, 4, 1024);
  count_labelled("knowledge_distillation 64x10", kd, 64, 10);
}
