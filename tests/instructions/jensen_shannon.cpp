#include <distill/logits/jensen_shannon.hpp>

#include "count.hpp"

void instructions::jensen_shannon() {
  count_rows("jensen_shannon 4x1024", distill::JensenShannon{.temperature = 2}, 4, 1024);
}
