#pragma once

#include <cstddef>
#include <vector>

#include "experiments.hpp"

namespace mlp {

// One metric over the seeds.
struct Summary {
  std::vector<double> values;
  double mean;
  double std;  // sample standard deviation; NaN for a single seed
};

Summary teacher_summary(const Results& results, std::size_t metric);
Summary student_summary(const Students& students, std::size_t epoch, std::size_t metric);
Summary final_summary(const Students& students, std::size_t metric);

inline std::size_t epochs_of(const Students& students) {
  return students.histories.front().size();
}

}  // namespace mlp
