// Other libraries that compute what distill does, each in a file of its own.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "contest.hpp"

namespace report {

/// Value and gradient of a loss, which is named as distill names it. Scores have the temperature 2; all else is what
/// published code has.
struct Problem {
  std::string loss;
  std::vector<std::size_t> shape;  ///< rows x cols, or batch x channels x height x width
  const float* student;
  const float* teacher;
  const int* labels = nullptr;         ///< a class for each row
  const float* per_channel = nullptr;  ///< margins, or logarithms of scales
  bool all_threads = false;            ///< once more with all threads, where the peer has some
};
inline constexpr double temperature = 2;

struct Peer {
  std::string name;
  std::string package;  ///< Debian's
  std::string version;  ///< empty: it was not installed when this was built
  std::function<std::vector<Contender>(const Problem&)> contenders = {};  ///< none for a problem that it does not have
};

/// All that there could be.
std::vector<Peer> peers();

/// What the installed ones have for a problem.
std::vector<Contender> peer_contenders(const Problem& problem);

Peer libtorch_peer();
Peer onednn_peer();
Peer eigen_peer();
Peer baseline_peer();

}  // namespace report
