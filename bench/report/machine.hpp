#pragma once

#include <string>
#include <vector>

namespace report {

/// The machine and build that the times belong to.
struct Machine {
  std::string cpu;
  unsigned cores;
  std::vector<std::string> caches;  ///< "L1 Data 32K", as Linux names them
  std::string compiler, flags;
  std::string instruction_set;  ///< the name of distill's inline namespace
};

Machine this_machine();

}  // namespace report
