// One of two translation units that differ in their instruction sets. UNIT is its function's name.
#include "every_loss.hpp"

bool UNIT() {
  return every_loss_is_right<float>();
}
