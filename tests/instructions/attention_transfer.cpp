#include <distill/attention/attention_transfer.hpp>

#include "count.hpp"

void instructions::attention_transfer() {
  count_maps("attention_transfer 2x16x8x8", distill::AttentionTransfer{}, 2, 16, 8, 8);
}
