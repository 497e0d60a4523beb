#include <distill/features/margin_relu.hpp>

#include "count.hpp"

void instructions::margin_relu() {
  const std::vector<float> margins(16, -0.5f);
  const auto loss = [&](const auto& s, const auto& t, const auto& g) { distill::MarginRelu{}(s, t, margins, g); };
  count_maps("margin_relu 2x16x8x8", loss, 2, 16, 8, 8);
}
