// What is measured, and what is claimed about it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "contest.hpp"

namespace report {

/// `make` allocates a contest's memory, so that only one contest has memory at a time.
struct PlannedContest {
  std::string name;
  std::function<Contest()> make;
};

/// The contests with claims.
std::vector<PlannedContest> claimed_contests();

/// The other losses, each with one shape.
std::vector<PlannedContest> other_contests();

/// A loss's memory.
struct MemoryUse {
  std::string what;
  std::size_t allocations;    ///< of a call after the first
  std::size_t scratch_bytes;  ///< that the library keeps
};
std::vector<MemoryUse> memory_use();

}  // namespace report
