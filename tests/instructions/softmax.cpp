#include <distill/logits/softmax.hpp>

#include "count.hpp"

void instructions::softmax() {
  Batch b(4, 1024);
  count("softmax 4x1024", [&] { distill::softmax(b.s(), b.g(), 2); });
}
