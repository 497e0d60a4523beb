// Other libraries that compute what distill does, each in a file of its own.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "contest.hpp"

namespace report {

/// Value and gradient of a loss, by distill's name. Scores have temperature 2; everything else is as in published code.
struct Problem {
  std::string loss;
  std::vector<std::size_t> shape;  ///< rows x cols, or batch x channels x height x width
  const float* student;
  const float* teacher;
  const int* labels = nullptr;         ///< one class per row
  const float* per_channel = nullptr;  ///< margins, or logarithms of scales
  bool all_threads = false;            ///< again with all threads, if the peer has threads
};
inline constexpr double temperature = 2;

struct Peer {
  std::string name;
  std::string package;  ///< Debian's
  std::string version;  ///< empty if it was not installed at build time
  std::function<std::vector<Contender>(const Problem&)> contenders = {};  ///< none: not supported
};

/// All possible peers.
std::vector<Peer> peers();

/// The installed peers' contenders for a problem.
std::vector<Contender> peer_contenders(const Problem& problem);

Peer libtorch_peer();
Peer onednn_peer();
Peer eigen_peer();
Peer baseline_peer();

}  // namespace report
