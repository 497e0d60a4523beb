#include "peers.hpp"

#include <utility>

namespace report {

std::vector<Peer> peers() {
  return {
    eigen_peer(),
#if defined(DISTILL_REPORT_LIBTORCH)
        libtorch_peer(),
#else
        Peer{"LibTorch", "libtorch-dev", ""},
#endif
#if defined(DISTILL_REPORT_ONEDNN)
        onednn_peer(),
#else
        Peer{"oneDNN", "libdnnl-dev", ""},
#endif
#if defined(DISTILL_REPORT_BASELINE)
        baseline_peer(),
#endif
  };
}

std::vector<Contender> peer_contenders(const Problem& problem) {
  static const std::vector<Peer> all = peers();
  std::vector<Contender> contenders;
  for (const Peer& peer : all) {
    if (!peer.contenders) continue;
    for (Contender& contender : peer.contenders(problem)) contenders.push_back(std::move(contender));
  }
  return contenders;
}

}  // namespace report
