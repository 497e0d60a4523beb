// The results of the contests, in words, numbers and plots.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "contest.hpp"
#include "contests.hpp"
#include "machine.hpp"
#include "peers.hpp"

namespace report {

struct Results {
  Machine machine;
  std::vector<Peer> peers;
  std::vector<Outcome> outcomes;
  std::vector<MemoryUse> memory_use;
};

std::string json(const Results& results);

/// `plots` are the files to show, relative to the report's folder.
std::string markdown(const Results& results, const std::vector<std::string>& plots);

/// Writes a bar chart per group of contests to the folder, as SVG by gnuplot; returns the files' names.
std::vector<std::string> draw(const std::vector<Outcome>& outcomes, const std::filesystem::path& folder);

}  // namespace report
