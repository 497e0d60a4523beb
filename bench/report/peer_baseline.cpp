// distill itself, without the instruction sets that came after x86-64: CMake compiles this file with -march=x86-64.
#include <distill/logits/kl_divergence.hpp>
#include <memory>

#include "peers.hpp"

namespace report {

Peer baseline_peer() {
  return {"distill, x86-64", "", DISTILL_VERSION_STRING, [](const Problem& problem) -> std::vector<Contender> {
            if (problem.loss != "KlDivergence") return {};
            const std::size_t rows = problem.shape[0], cols = problem.shape[1];
            const auto grad = std::make_shared<std::vector<float>>(rows * cols);
            distill::KlDivergence kl;
            kl.temperature = temperature;
            return {{"distill, x86-64",
                     [=] {
                       return kl(distill::MatrixView{problem.student, rows, cols},
                                 distill::MatrixView{problem.teacher, rows, cols},
                                 distill::MatrixView{grad->data(), rows, cols});
                     },
                     [grad] { return *grad; }}};
          }};
}

}  // namespace report
