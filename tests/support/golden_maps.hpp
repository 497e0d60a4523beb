// Golden vectors of losses on feature maps, N x C x H x W.
#pragma once

#include <cstddef>
#include <distill/core/views.hpp>
#include <string>
#include <vector>

#include "support/golden.hpp"

namespace support {

/// Calls `loss_for(params)` with each case of a golden file.
template <class LossFor>
void check_golden_maps(const std::string& name, const LossFor& loss_for) {
  for (const auto& golden : golden_cases(name)) {
    CAPTURE(name);
    CAPTURE(golden.at("name").get<std::string>());
    const auto numbers = [&](const char* input) {
      return golden.at("inputs").at(input).at("data").get<std::vector<double>>();
    };
    const auto maps = [&](const char* input, auto* data) {
      const auto shape = golden.at("inputs").at(input).at("shape").get<std::vector<std::size_t>>();
      return distill::FeatureMapView{data, shape[0], shape[1], shape[2], shape[3]};
    };
    const std::vector<double> student = numbers("student"), teacher = numbers("teacher");
    std::vector<double> grad(student.size(), 42);
    const double value = loss_for(golden.at("params"))(maps("student", student.data()), maps("teacher", teacher.data()),
                                                       maps("student", grad.data()));
    check_golden_loss(golden, value);
    check_golden_gradient(golden, grad);
  }
}

}  // namespace support
