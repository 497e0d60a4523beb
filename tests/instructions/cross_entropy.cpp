#include <distill/logits/cross_entropy.hpp>

#include "count.hpp"

void instructions::cross_entropy() {
  Batch b(4, 1024);
  count("cross_entropy 4x1024", [&] { distill::CrossEntropy{}(b.s(), b.labels, b.g()); });
}
