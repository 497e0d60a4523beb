// What is measured, and what is claimed of it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "contest.hpp"

namespace report {

/// A contest's memory is allocated by `make`, so that one contest at a time holds some.
struct PlannedContest {
  std::string name;
  std::function<Contest()> make;
};

/// Those that claims are made of.
std::vector<PlannedContest> claimed_contests();

/// The other losses, each at one shape.
std::vector<PlannedContest> other_contests();

/// What a loss holds and asks for.
struct MemoryUse {
  std::string what;
  std::size_t allocations;    ///< of a call, after the first one
  std::size_t scratch_bytes;  ///< that the library keeps
};
std::vector<MemoryUse> memory_use();

}  // namespace report
