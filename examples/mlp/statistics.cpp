#include "statistics.hpp"

#include <cmath>
#include <limits>
#include <utility>

namespace mlp {
namespace {

Summary summarize(std::vector<double> values) {
  const auto count = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  const double mean = sum / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const double std = count < 2 ? std::numeric_limits<double>::quiet_NaN() : std::sqrt(squares / (count - 1));
  return {std::move(values), mean, std};
}

}  // namespace

Summary teacher_summary(const Results& results, std::size_t metric) {
  std::vector<double> values;
  for (const Metrics& teacher : results.teachers) values.push_back(teacher[metric]);
  return summarize(std::move(values));
}

Summary student_summary(const Students& students, std::size_t epoch, std::size_t metric) {
  std::vector<double> values;
  for (const History& history : students.histories) values.push_back(history[epoch][metric]);
  return summarize(std::move(values));
}

Summary final_summary(const Students& students, std::size_t metric) {
  return student_summary(students, epochs_of(students) - 1, metric);
}

}  // namespace mlp
