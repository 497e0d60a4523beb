// Each of the other losses with one shape, against published code.
#include <distill/distill.hpp>
#include <distill/features/neuron_selectivity.hpp>
#include <distill/relations/channel_gram.hpp>
#include <distill/relations/contrastive.hpp>
#include <distill/relations/correlation_congruence.hpp>
#include <distill/relations/linear_cka.hpp>
#include <distill/relations/probabilistic_transfer.hpp>
#include <distill/relations/relational_angle.hpp>
#include <distill/relations/relational_distance.hpp>
#include <distill/relations/similarity_preserving.hpp>

#include "contests.hpp"
#include "ours.hpp"

namespace report {
namespace {

using namespace distill;

using Sizes = std::vector<std::size_t>;
using Floats = bench::Batch<float>;

std::string name_of(const Sizes& sizes) {
  std::string name;
  for (const std::size_t size : sizes) name += (name.empty() ? "" : "x") + std::to_string(size);
  return name;
}

/// `call(batch)` is value and gradient of a loss that reads student and teacher and writes the gradient.
template <class Call>
PlannedContest planned(const char* group, const std::string& loss, const Sizes& sizes, double exponentials_per_element,
                       const Call& call, const float* per_channel = nullptr) {
  return {loss + ' ' + name_of(sizes), [=] {
            Shape shape{sizes[0], 1};
            for (std::size_t i = 1; i < sizes.size(); ++i) shape.cols *= sizes[i];
            const auto batch = batch_of<float>(shape);
            Contest contest{group,
                            loss,
                            name_of(sizes),
                            shape.elements(),
                            3 * sizeof(float) * shape.elements(),
                            exponentials_per_element,
                            {}};
            contest.contenders = {{"distill", [=] { return call(*batch); }, [=] { return batch->grad; }}};
            add_peers(contest,
                      {loss, sizes, batch->student.data(), batch->teacher.data(), batch->labels.data(), per_channel});
            return contest;
          }};
}

/// For a loss that spends its time on products, where bytes say nothing.
PlannedContest without_limit(const PlannedContest& plan) {
  return {plan.name, [make = plan.make] {
            Contest contest = make();
            contest.bytes = 0;
            contest.exponentials = 0;
            return contest;
          }};
}

template <class Loss>
PlannedContest scores(const std::string& name, const Loss& loss, double exponentials_per_element = 2) {
  return planned("Class scores", name, {1024, 1024}, exponentials_per_element,
                 [=](Floats& batch) { return loss(batch.s(), batch.t(), batch.g()); });
}

template <class Loss>
PlannedContest labelled_scores(const std::string& name, const Loss& loss) {
  return planned("Class scores", name, {1024, 1024}, 2,
                 [=](Floats& batch) { return loss(batch.s(), batch.t(), batch.labels, batch.g()); });
}

/// `loss(student, teacher, grad)` of maps.
template <class Loss>
PlannedContest maps(const std::string& name, const Loss& loss, const Sizes& sizes = {16, 256, 14, 14},
                    double exponentials_per_element = 0, const float* per_channel = nullptr) {
  return planned(
      "Hidden layers", name, sizes, exponentials_per_element,
      [=](Floats& batch) {
        const auto map = [&](auto view) { return FeatureMapView{view.data, sizes[0], sizes[1], sizes[2], sizes[3]}; };
        return loss(map(batch.s()), map(batch.t()), map(batch.g()));
      },
      per_channel);
}

template <class Loss>
PlannedContest pairs(const std::string& name, const Loss& loss, const Sizes& sizes = {256, 512}) {
  return without_limit(planned("Pairs of samples", name, sizes, 0,
                               [=](Floats& batch) { return loss(batch.s(), batch.t(), batch.g()); }));
}

}  // namespace

std::vector<PlannedContest> other_contests() {
  static const std::vector<float> margins(256, -0.5f), log_scale(256, 1.0f);
  static std::vector<float> grad_log_scale(256);
  const auto cross_entropy = [](Floats& batch) { return CrossEntropy{}(batch.s(), batch.labels, batch.g()); };
  const auto margin_relu = [](auto student, auto teacher, auto grad) {
    return MarginRelu{}(student, teacher, margins, grad);
  };
  const auto variational_information = [](auto student, auto teacher, auto grad) {
    return VariationalInformation{}(student, teacher, log_scale, grad, grad_log_scale);
  };
  return {
      planned("Class scores", "CrossEntropy", {1024, 1024}, 1, cross_entropy),
      scores("ReverseKl", ReverseKl{.temperature = temperature}),
      scores("SymmetricKl", SymmetricKl{.temperature = temperature}),
      scores("JensenShannon", JensenShannon{.temperature = temperature}),
      scores("SkewedKl", SkewedKl{.temperature = temperature}),
      scores("SkewedReverseKl", SkewedReverseKl{.temperature = temperature}),
      scores("TotalVariation", TotalVariation{.temperature = temperature}),
      labelled_scores("DecoupledKd", DecoupledKd{.temperature = temperature}),
      labelled_scores(
          "WeightedSoftLabel",
          WeightedSoftLabel{.temperature = temperature, .teacher_epsilon = 1e-7, .subtract_teacher_entropy = false}),
      scores("Dist", Dist{.temperature = temperature, .epsilon = 1e-8}),
      without_limit(scores("MultiLevel", MultiLevel{.temperature = temperature})),
      scores("LogitMse", LogitMse{.temperature = temperature}, 0),
      scores("LogitCosine", LogitCosine{}, 0),
      scores("BinaryKl", BinaryKl{.temperature = temperature}),
      maps("ChannelWise", ChannelWise{.temperature = temperature}, {16, 256, 14, 14}, 2),
      maps("PearsonFeatures", PearsonFeatures{.epsilon = 1e-6}),
      maps("MarginRelu", margin_relu, {16, 256, 14, 14}, 0, margins.data()),
      maps("FactorTransfer", FactorTransfer{}),
      maps("Review", Review{}),
      maps("VariationalInformation", variational_information, {16, 256, 14, 14}, 0, log_scale.data()),
      planned("Hidden layers", "ActivationBoundary", {16, 256, 14, 14}, 0,
              [](Floats& batch) { return ActivationBoundary{}(batch.s(), batch.t(), batch.g()); }),
      without_limit(maps("NeuronSelectivity", NeuronSelectivity{}, {4, 64, 14, 14})),
      without_limit(maps("ChannelGram", ChannelGram{})),
      maps("AttentionMatrix, KL", AttentionMatrix{.distance = AttentionMatrixDistance::kl}, {4, 12, 128, 128}, 2),
      pairs("RelationalDistance", RelationalDistance{}),
      pairs("RelationalAngle", RelationalAngle{}, {64, 512}),
      pairs("SimilarityPreserving", SimilarityPreserving{}),
      pairs("ProbabilisticTransfer", ProbabilisticTransfer{}),
      pairs("CorrelationCongruence", CorrelationCongruence{}),
      pairs("LinearCka", LinearCka{}),
      pairs("Contrastive", Contrastive{}),
  };
}

}  // namespace report
