#include "support/every_loss.hpp"

#include <array>
#include <cstddef>
#include <distill/attention/value_relation.hpp>
#include <distill/distill.hpp>
#include <distill/features/neuron_selectivity.hpp>
#include <distill/features/projected.hpp>
#include <distill/relations/channel_gram.hpp>
#include <distill/relations/contrastive.hpp>
#include <distill/relations/correlation_congruence.hpp>
#include <distill/relations/linear_cka.hpp>
#include <distill/relations/probabilistic_transfer.hpp>
#include <distill/relations/relational_angle.hpp>
#include <distill/relations/relational_distance.hpp>
#include <distill/relations/similarity_preserving.hpp>

namespace support {
namespace {

using namespace distill;
using Maps = FeatureMapView<const float>;
using GradMaps = FeatureMapView<float>;
using Rows = MatrixView<const float>;
using GradRows = MatrixView<float>;

/// More of them than any problem needs; of a student, a teacher, and parameters.
const float* numbers(std::size_t who) {
  static const auto all = [] {
    std::array<std::vector<float>, 3> result;
    for (std::size_t k = 0; k < result.size(); ++k) {
      for (std::size_t i = 0; i < 70000; ++i) {
        result[k].push_back(static_cast<float>((i * (7 + 2 * k) + i * i % 13 + k) % 31) / 8 - 2);
      }
    }
    return result;
  }();
  return all[who].data();
}

/// Calls loss(student, teacher, grad, options), matrices rows x cols.
template <class Loss>
AnyLoss on_rows(const char* name, std::size_t rows, std::size_t cols, const Loss& loss) {
  return {name, [=](const RowOptions& options) {
            std::vector<float> grad(rows * cols);
            std::vector<double> result{loss(Rows{numbers(0), rows, cols}, Rows{numbers(1), rows, cols},
                                            GradRows{grad.data(), rows, cols}, options)};
            result.insert(result.end(), grad.begin(), grad.end());
            return result;
          }};
}
template <class Loss>
AnyLoss on_scores(const char* name, const Loss& loss) {
  return on_rows(name, 3, 8300, loss);
}
/// Batches whose pairs are compared.
template <class Loss>
AnyLoss on_batch(const char* name, const Loss& loss) {
  return on_rows(name, 135, 9, loss);
}
/// The same with labels in front of the gradient.
template <class Loss>
AnyLoss on_labels(const char* name, const Loss& loss) {
  return on_scores(name, [=](const Rows& s, const Rows& t, const GradRows& g, const RowOptions& options) {
    const std::vector<int> labels{3, 8299, 0};
    return loss(s, t, labels, g, options);
  });
}
/// Three samples of 24 channels of 20 x 18, one channel after the other, or one position.
template <class Loss>
AnyLoss on_maps(const char* name, bool channels_last, const Loss& loss) {
  const auto of_maps = [=](const Rows& s, const Rows& t, const GradRows& g, const RowOptions& options) {
    const auto maps = [&](const auto& m) {
      return channels_last ? nhwc(m.data, 3, 20, 18, 24) : FeatureMapView{m.data, 3, 24, 20, 18};
    };
    return loss(maps(s), maps(t), maps(g), options);
  };
  return on_rows(name, 3, 24 * 20 * 18, of_maps);
}

template <class Call>
auto with_executor(const Call& call) {
  return [=](const Rows& s, const Rows& t, const GradRows& g, const RowOptions& options) {
    SoftmaxOptions softmax_options;
    softmax_options.executor = options.executor;
    call(s, t, g, softmax_options);
    return 0.0;
  };
}

/// Of the losses that take the k most probable classes.
template <class Loss>
auto with_top_k(const Loss& loss) {
  return [=](const Rows& s, const Rows&, const GradRows& g, const RowOptions& options) {
    const std::vector<int> indices{5, 3, 7, 8299, 0, 1, 2, 3, 4};
    const std::vector<float> log_p(9, -1.5f);
    return loss(s, sparse_teacher(MatrixView{indices.data(), 3, 3}, MatrixView{log_p.data(), 3, 3}), g, options);
  };
}

template <class Loss>
auto projected(const Loss& loss) {
  return [=](const Rows& s, const Rows& t, const GradRows& g, const RowOptions& options) {
    std::vector<float> grad_weights(s.cols * t.cols);
    return Projected<Loss>{loss}(s, linear_projection(MatrixView{numbers(2), t.cols, s.cols}), t, g,
                                 linear_projection(MatrixView{grad_weights.data(), t.cols, s.cols}), options) +
           static_cast<double>(grad_weights[7]);
  };
}

}  // namespace

const std::vector<AnyLoss>& every_loss() {
  static const std::vector<AnyLoss> all{
      on_scores("KlDivergence", KlDivergence{}),
      on_rows("KlDivergence, short rows", 4000, 10, KlDivergence{}),
      on_rows("KlDivergence, rows that are not ordinary", 2, 8300, KlDivergence{.temperature = 2000}),
      on_scores("KlDivergence, standardised, of two teachers",
                [](const Rows& s, const Rows& t, const GradRows& g, const RowOptions& options) {
                  return KlDivergence{.logits = {.standardize = Standardize::unbiased}}(
                      s, std::array{weighted(t, 0.75), weighted(s, 0.25)}, g, options);
                }),
      on_scores("ReverseKl", ReverseKl{.temperature = 2}),
      on_scores("SymmetricKl", SymmetricKl{}),
      on_scores("JensenShannon", JensenShannon{}),
      on_scores("SkewedKl", SkewedKl{}),
      on_scores("SkewedReverseKl", SkewedReverseKl{}),
      on_scores("TotalVariation", TotalVariation{}),
      on_scores("AlphaDivergence", AlphaDivergence{}),
      on_scores("AdaptiveKl", AdaptiveKl{}),
      on_scores("LogitMse", LogitMse{}),
      on_scores("LogitCosine", LogitCosine{}),
      on_scores("BinaryKl", BinaryKl{}),
      on_scores("Dist", Dist{}),
      on_scores("MultiLevel", MultiLevel{}),
      on_scores("UniversalLogit", UniversalLogit{}),
      on_labels("KnowledgeDistillation", KnowledgeDistillation{}),
      on_labels("DecoupledKd", DecoupledKd{}),
      on_labels("WeightedSoftLabel", WeightedSoftLabel{}),
      on_labels("CrossEntropy", [](const Rows& s, const Rows&, const auto& labels, const GradRows& g,
                                   const RowOptions& options) { return CrossEntropy{}(s, labels, g, options); }),
      on_labels("SampledTokenReverseKl",
                [](const Rows& s, const Rows&, const auto& labels, const GradRows& g, const RowOptions& options) {
                  const std::vector<float> log_p{-1, -2, -3};
                  return SampledTokenReverseKl{}(s, sampled_tokens(labels, MatrixView{log_p.data(), 1, 3}), g, options);
                }),
      on_scores("TopKKl", with_top_k(TopKKl{})),
      on_scores("TopKReverseKl", with_top_k(TopKReverseKl{})),
      on_scores("TopKJensenShannon", with_top_k(TopKJensenShannon{})),
      on_scores("TopKTotalVariation", with_top_k(TopKTotalVariation{})),
      on_scores("softmax", with_executor([](auto s, auto, auto g, auto options) { softmax(s, g, 2, options); })),
      on_scores("log_softmax",
                with_executor([](auto s, auto, auto g, auto options) { log_softmax(s, g, 2, options); })),
      on_scores("softmax_backward",
                with_executor([](auto s, auto t, auto g, auto options) { softmax_backward(s, t, g, 2, options); })),
      on_scores("log_softmax_backward",
                with_executor([](auto s, auto t, auto g, auto options) { log_softmax_backward(s, t, g, 2, options); })),

      on_scores("FeatureMatching", FeatureMatching{}),
      on_scores("FeatureMatching, normalize", FeatureMatching{.normalize = true}),
      on_scores("ActivationBoundary", ActivationBoundary{}),
      on_maps("ChannelWise", false, ChannelWise{}),
      on_maps("ChannelWise, channels last", true, ChannelWise{}),
      on_maps("PearsonFeatures", false, PearsonFeatures{}),
      on_maps("PearsonFeatures, channels last", true, PearsonFeatures{}),
      on_maps("Review, channels last", true, Review{}),
      on_maps("MarginRelu", false,
              [](const Maps& s, const Maps& t, const GradMaps& g, const RowOptions& options) {
                const std::vector<float> margins(24, -0.75f);
                return MarginRelu{}(s, t, MatrixView{margins.data(), 1, 24}, g, options);
              }),
      on_maps("VariationalInformation", false,
              [](const Maps& s, const Maps& t, const GradMaps& g, const RowOptions& options) {
                const std::vector<float> log_scale(24, 0.5f);
                std::vector<float> grad(24);
                return VariationalInformation{}(s, t, MatrixView{log_scale.data(), 1, 24}, g,
                                                MatrixView{grad.data(), 1, 24}, options) +
                       static_cast<double>(grad[3]);
              }),
      on_maps("FactorTransfer, of a teacher with other maps", false,
              [](const Maps& s, const Maps& t, const GradMaps& g, const RowOptions& options) {
                return FactorTransfer{}(s, FeatureMapView{t.data, 3, 24, 10, 9}, g, options);
              }),
      on_maps("NeuronSelectivity", false, NeuronSelectivity{}),
      on_maps("AttentionTransfer, of a teacher with other maps", false,
              [](const Maps& s, const Maps& t, const GradMaps& g, const RowOptions& options) {
                return AttentionTransfer{}(s, FeatureMapView{t.data, 3, 16, 10, 9}, g, options);
              }),
      on_maps("AttentionMatrix", false,
              [](const Maps& s, const Maps& t, const GradMaps& g, const RowOptions& options) {
                const AttentionMatrix loss{
                    .distance = AttentionMatrixDistance::kl, .heads = AttentionHeads::mean, .causal = true};
                return loss(s, t, g, options);
              }),
      on_rows("ValueRelation, with padding", 3, 30 * 288,
              [](const Rows& s, const Rows& t, const GradRows& g, const RowOptions& options) {
                const auto maps = [](const auto& m) { return nhwc(m.data, 3, 30, 1, 288); };
                std::vector<int> mask(3 * 30, 1);
                mask[5] = mask[40] = 0;
                const ValueRelation loss{.relation_heads = 4};
                return loss(maps(s), maps(t), TokenMask{mask.data(), 3, 30}, maps(g), options);
              }),

      on_maps("ChannelGram", false, ChannelGram{}),
      on_batch("Contrastive", Contrastive{}),
      on_batch("CorrelationCongruence", CorrelationCongruence{}),
      on_batch("LinearCka", LinearCka{}),
      on_batch("ProbabilisticTransfer", ProbabilisticTransfer{}),
      on_rows("RelationalAngle", 130, 5, RelationalAngle{}),
      on_batch("RelationalDistance", RelationalDistance{}),
      on_batch("SimilarityPreserving", SimilarityPreserving{}),

      on_rows("Projected<KlDivergence>", 250, 100, projected(KlDivergence{.temperature = 3, .logits = {.scale = 0.1}})),
      on_rows("Projected<RelationalDistance>", 135, 9, projected(RelationalDistance{})),
  };
  return all;
}

}  // namespace support
