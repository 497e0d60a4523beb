#pragma once

#include <string>
#include <vector>

namespace report {

/// What the times are the times of.
struct Machine {
  std::string cpu;
  unsigned cores;
  std::vector<std::string> caches;  ///< "L1 Data 32K", as Linux names them
  std::string compiler, flags;
  std::string instruction_set;  ///< the name of distill's inline namespace
};

Machine this_machine();

}  // namespace report
