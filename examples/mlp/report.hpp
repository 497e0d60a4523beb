#pragma once

#include <ostream>
#include <string>

#include "experiments.hpp"

namespace mlp {

void print_table(std::ostream& out, const Results& results);

// All numbers of the tables, the value of each seed, and what they depend on. Accuracies are fractions of 1.
std::string to_json(const Outcome& outcome, const Settings& settings, bool teacher_is_loaded);

}  // namespace mlp
