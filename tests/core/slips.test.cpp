// What callers pass by mistake, and empty tensors, which are none.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <distill/distill.hpp>
#include <distill/features/projected.hpp>
#include <distill/relations/linear_cka.hpp>
#include <vector>

#include "support/data.hpp"

using namespace distill;
using support::check_throws;

TEST_CASE("an unsigned label or index of a negative number is told as such") {
  const std::vector<float> x(6, 1);
  const MatrixView<const float> s{x.data(), 2, 3};
  const std::vector<std::uint64_t> labels{1, static_cast<std::uint64_t>(-100)};
  check_throws([&] { CrossEntropy{}(s, labels); },
               {"labels[1] is 18446744073709551516 (-100 in a type without a sign)"});
  const std::vector<std::uint8_t> bytes{1, 255};  // what segmentation has for pixels without a class
  check_throws([&] { CrossEntropy{}(s, bytes); }, {"labels[1] is 255, expected 0 to 2"});
  const std::vector<int> with_sign{1, -7};
  check_throws([&] { CrossEntropy{}(s, with_sign); }, {"labels[1] is -7, expected 0 to 2"});
  const std::vector<std::uint32_t> indices{0, 4294967295u};
  const std::vector<float> log_p{-1, -2};
  const auto teacher = sparse_teacher(MatrixView{indices.data(), 2, 1}, MatrixView{log_p.data(), 2, 1});
  check_throws([&] { TopKKl{}(s, teacher); }, {"indices[1, 0] is 4294967295 (-1 in a type without a sign)"});
}

TEST_CASE("0 x 0 without memory is an empty batch") {
  float* const null = nullptr;
  const MatrixView<float> none{null, 0, 0};
  const std::vector<int> labels;
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::per_element}) {
    CHECK(KlDivergence{.reduction = reduction}(none, none, none) == 0);
    CHECK(KnowledgeDistillation{.reduction = reduction}(none, none, labels, none) == 0);
    CHECK(CrossEntropy{.reduction = reduction}(none, labels, none) == 0);
    CHECK(JensenShannon{.reduction = reduction}(none, none, none) == 0);
    CHECK(Dist{.reduction = reduction}(none, none, none) == 0);
    CHECK(UniversalLogit{.reduction = reduction}(none, none, none) == 0);
    CHECK(FeatureMatching{.reduction = reduction}(none, none, none) == 0);
    CHECK(LinearCka{.reduction = reduction}(none, none, none) == 0);
    const FeatureMapView<float> maps{null, 0, 0, 0, 0};
    CHECK(AttentionTransfer{.reduction = reduction}(maps, maps, maps) == 0);
    CHECK(PearsonFeatures{.reduction = reduction}(maps, maps, maps) == 0);
    CHECK(ChannelWise{.reduction = reduction}(maps, maps, maps) == 0);
    CHECK(AttentionMatrix{.reduction = reduction}(maps, maps, maps) == 0);
  }
  softmax(none, none);
  log_softmax(none, none);
  softmax_backward(none, none, none);
  const MatrixView<const int> indices{nullptr, 0, 0};
  CHECK(TopKKl{}(none, sparse_teacher(indices, none), none) == 0);
  const std::vector<float> no_log_p;
  CHECK(SampledTokenReverseKl{}(none, sampled_tokens(labels, no_log_p), none) == 0);
  const auto backwards = [](std::size_t n, LoopBody body) {
    while (n > 0) body(--n);
  };
  CHECK(KlDivergence{}(none, none, none, {.executor = backwards}) == 0);
  // rows without columns are a mistake
  const std::vector<float> x(6, 1);
  check_throws([&] { KlDivergence{}(MatrixView{x.data(), 2, 0}, MatrixView{x.data(), 2, 0}); }, {"0 columns"});
}

TEST_CASE("probabilities where logarithms are expected are named, if entries are checked anyway") {
  const std::vector<float> x(6, 1), p{0.7f, 0.3f}, log_p{-0.3f, -1.2f};
  const std::vector<int> tokens{0, 2}, ignored{-100, 2};
  const MatrixView<const float> s{x.data(), 2, 3};
  const MatrixView<const int> indices{tokens.data(), 2, 1};
  const auto top = [&](float first) {
    static std::vector<float> entries;
    entries = {first, -1};
    return sparse_teacher(indices, MatrixView<const float>{entries.data(), 2, 1});
  };
  check_throws([&] { TopKKl{}(s, top(0.7f)); }, {"TopKKl: log_probabilities[0, 0] is 0.7", "expected at most 0"});
  CHECK(std::isfinite(TopKKl{}(s, top(0.0625f))));                          // the rounding of bfloat16
  CHECK(std::isfinite(TopKKl{.tail = Tail::renormalise_both}(s, top(3))));  // logits will do there
  const std::vector<float> weights{0, 1};
  CHECK(std::isfinite(TopKKl{}(s, top(0.7f), {.weights = weights})));
  CHECK(std::isfinite(SampledTokenReverseKl{}(s, sampled_tokens(tokens, log_p))));
  check_throws([&] { SampledTokenReverseKl{}(s, sampled_tokens(tokens, p)); }, {"teacher_log_probabilities[0] is 0.7"});
  check_throws([&] { SampledTokenReverseKl{}(s, sampled_tokens(ignored, p)); },
               {"teacher_log_probabilities[1] is 0.3"});
}
