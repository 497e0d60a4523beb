#include "count.hpp"

int main() {
  using namespace instructions;
  kl_divergence();
  knowledge_distillation();
  cross_entropy();
  softmax();
  jensen_shannon();
  feature_matching();
  attention_transfer();
  channel_wise();
  margin_relu();
  variational_information();
}
