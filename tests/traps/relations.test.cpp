// Losses whose products are Eigen's: finite input raises no FE_INVALID, FE_DIVBYZERO or FE_OVERFLOW, which people trap to
// find NaN.
#include <doctest/doctest.h>

#include <cstddef>
#include <distill/attention/value_relation.hpp>
#include <distill/features/projected.hpp>
#include <distill/relations/channel_gram.hpp>
#include <distill/relations/contrastive.hpp>
#include <distill/relations/correlation_congruence.hpp>
#include <distill/relations/linear_cka.hpp>
#include <distill/relations/probabilistic_transfer.hpp>
#include <distill/relations/relational_angle.hpp>
#include <distill/relations/relational_distance.hpp>
#include <distill/relations/similarity_preserving.hpp>
#include <string>
#include <vector>

#include "traps/traps.hpp"

namespace {

using traps::Batch;
using traps::check_quiet;
using traps::Kind;

template <class S>
void check_relations(const Batch<S>& b) {
  using namespace distill;
  const auto check = [&](const std::string& name, const auto& loss) {
    check_quiet(b, name, [&] { return loss(b.s(), b.t(), b.g()); });
    check_quiet(b, name, [&] { return loss(b.s(), b.t()); });
  };
  check("ProbabilisticTransfer", ProbabilisticTransfer{});
  check("SimilarityPreserving", SimilarityPreserving{});
  check("LinearCka", LinearCka{});
  for (const bool normalize : {false, true}) {
    check("RelationalDistance", RelationalDistance{.normalize = normalize});
    check("RelationalDistance, squared", RelationalDistance{.squared = true, .normalize = normalize});
    check("RelationalAngle", RelationalAngle{.normalize = normalize});
    check("Contrastive", Contrastive{.normalize = normalize});
    check("CorrelationCongruence, bilinear",
          CorrelationCongruence{.kernel = CongruenceKernel::bilinear, .normalize = normalize});
  }
  check("CorrelationCongruence", CorrelationCongruence{});
  const auto of = [](const auto& m) { return nhwc(m.data, 1, m.rows, 1, m.cols); };
  check_quiet(b, "ValueRelation", [&] { return ValueRelation{.relation_heads = 1}(of(b.s()), of(b.t()), of(b.g())); });
  check_quiet(b, "ChannelGram", [&] { return ChannelGram{}(of(b.s()), of(b.t()), of(b.g())); });
  std::vector<S> weights(b.cols * b.cols), grad(b.cols * b.cols);
  for (std::size_t i = 0; i < weights.size(); ++i) detail::store_scalar(&weights[i], i % (b.cols + 1) == 0 ? 1.0 : 0.0);
  const MatrixView<const S> w{weights.data(), b.cols, b.cols};
  const MatrixView<S> grad_w{grad.data(), b.cols, b.cols};
  check_quiet(b, "Projected", [&] {
    return Projected<FeatureMatching>{}(b.s(), linear_projection(w), b.t(), b.g(), linear_projection(grad_w));
  });
}

}  // namespace

TEST_CASE_TEMPLATE("finite samples raise no floating-point exception", S, float, double) {
  for (const std::size_t cols : {1, 2, 3, 7, 8, 9, 16, 31, 33, 100}) {
    for (const Kind kind : traps::all_kinds) {
      if (kind != Kind::huge) check_relations(Batch<S>(kind, 9, cols));  // products of more than the largest number
    }
  }
}
