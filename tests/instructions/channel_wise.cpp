#include <distill/features/channel_wise.hpp>

#include "count.hpp"

void instructions::channel_wise() {
  count_maps("channel_wise 2x16x8x8", distill::ChannelWise{}, 2, 16, 8, 8);
}
