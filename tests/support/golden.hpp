// Golden vectors: see golden/README.md.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/tolerances.hpp"

namespace support {

/// An array of a golden file; the last dimension is the classes, all others are rows.
struct GoldenArray {
  std::vector<double> data;
  std::size_t rows = 1;
  std::size_t cols = 1;

  explicit GoldenArray(const nlohmann::json& array) : data(array.at("data").get<std::vector<double>>()) {
    cols = array.at("shape").back().get<std::size_t>();
    rows = data.size() / cols;
  }
};

inline std::vector<nlohmann::json> golden_cases(const std::string& name) {
  std::ifstream file(std::string(DISTILL_GOLDEN_DIR) + "/" + name + ".json");
  REQUIRE_MESSAGE(file.good(), "golden file not found: " << name);
  const nlohmann::json content = nlohmann::json::parse(file);
  const auto cases = content.at("cases").get<std::vector<nlohmann::json>>();
  REQUIRE(!cases.empty());
  return cases;
}

inline void check_golden_loss(const nlohmann::json& golden, double loss, double tolerance = tolerances::golden) {
  const auto expected = golden.at("loss").get<double>();
  CHECK(std::abs(loss - expected) <= tolerance * std::max(1.0, std::abs(expected)));
}

inline void check_golden_gradient(const nlohmann::json& golden, const std::vector<double>& gradient,
                                  double tolerance = tolerances::golden, const char* input = "student") {
  const GoldenArray expected(golden.at("gradients").at(input));
  REQUIRE(gradient.size() == expected.data.size());
  double largest = 0, worst = 0;
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    largest = std::max(largest, std::abs(expected.data[i]));
    const double difference = std::abs(gradient[i] - expected.data[i]);
    worst = difference <= worst ? worst : difference;  // NaN is the worst
  }
  CHECK(worst <= tolerance * largest);
}

}  // namespace support
