#include <distill/features/variational_information.hpp>

#include "count.hpp"

void instructions::variational_information() {
  const std::vector<float> log_scale(16, 1);
  std::vector<float> grad_log_scale(16);
  const auto loss = [&](const auto& s, const auto& t, const auto& g) {
    distill::VariationalInformation{}(s, t, log_scale, g, grad_log_scale);
  };
  count_maps("variational_information 2x16x8x8", loss, 2, 16, 8, 8);
}
