// Losses on hidden layers plus cross entropy with the labels: what they add to labels, without the teacher's outputs.
#include <distill/features/feature_matching.hpp>
#include <distill/features/neuron_selectivity.hpp>
#include <distill/features/projected.hpp>
#include <distill/features/variational_information.hpp>
#include <distill/logits/cross_entropy.hpp>
#include <distill/relations/contrastive.hpp>
#include <distill/relations/correlation_congruence.hpp>
#include <distill/relations/linear_cka.hpp>
#include <distill/relations/probabilistic_transfer.hpp>
#include <distill/relations/relational_angle.hpp>
#include <distill/relations/relational_distance.hpp>
#include <distill/relations/similarity_preserving.hpp>
#include <vector>

#include "experiments.hpp"

namespace mlp {

namespace {

double of_labels(const Step& step) {
  return distill::CrossEntropy{}(step.student.logits, step.labels, step.gradient.logits);
}

// The geometry of the batch in the hidden layer; widths may differ.
template <class L>
Loss of_hidden_units(const L& loss) {
  return [=](const Step& step) {
    return of_labels(step) + loss(step.student.features, step.teacher.features, step.gradient.features);
  };
}

// The student's hidden units after a layer that is trained too.
template <class L>
double projected_units(const L& loss, const Step& step) {
  const auto& [weights, bias] = step.own.front();
  auto& [weights_gradient, bias_gradient] = step.own_gradient.front();
  return distill::Projected{loss}(step.student.features, distill::linear_projection(weights, bias),
                                  step.teacher.features, step.gradient.features,
                                  distill::linear_projection(weights_gradient, bias_gradient));
}
template <class L>
Loss of_projected_units(const L& loss) {
  return [=](const Step& step) { return of_labels(step) + projected_units(loss, step); };
}

// A layer, and a trained variance for each of its outputs.
std::vector<Layer> make_projection_and_variances(const Network& student, const Network& teacher, Random& random) {
  std::vector<Layer> own = make_projection(student, teacher, random);
  own.push_back({Matrix{}, RowVector::Zero(own.front().bias.size())});
  return own;
}

// Hidden units as maps without positions.
template <class T>
distill::FeatureMapView<T> as_maps_of_one(const distill::MatrixView<T>& units) {
  return {units.data, units.rows, units.cols, 1, 1};
}

Loss of_projected_information(const distill::VariationalInformation& vid) {
  return [=](const Step& step) {
    const auto loss = [&](auto student, auto teacher, auto gradient, const auto& options) {
      return vid(as_maps_of_one(student), as_maps_of_one(teacher), step.own[1].bias, as_maps_of_one(gradient),
                 step.own_gradient[1].bias, options);
    };
    return of_labels(step) + projected_units(loss, step);
  };
}

Loss of_channels(const distill::NeuronSelectivity& loss, int channels) {
  return [=](const Step& step) {
    return of_labels(step) + loss(as_maps(step.student.maps, channels), as_maps(step.teacher.maps, teacher_channels),
                                  as_maps(step.gradient.maps, channels));
  };
}

}  // namespace

std::vector<Variant> hidden_variants(const Settings& settings) {
  return {
      // Weights as published, if any.
      {"features", "labels + features", of_projected_units(distill::FeatureMatching{.weight = settings.hint_weight}),
       make_projection},
      {"vid", "labels + VID", of_projected_information(distill::VariationalInformation{}),
       make_projection_and_variances},
      {"contrastive", "labels + contrastive", of_projected_units(distill::Contrastive{}), make_projection},
      {"nst", "labels + NST", of_channels(distill::NeuronSelectivity{.weight = 50}, settings.channels)},
      {"rkd-distance", "labels + distances", of_hidden_units(distill::RelationalDistance{.weight = 25})},
      {"rkd-angle", "labels + angles", of_hidden_units(distill::RelationalAngle{.weight = 50})},
      {"similarity", "labels + similarity", of_hidden_units(distill::SimilarityPreserving{.weight = 3000})},
      {"pkt", "labels + PKT", of_hidden_units(distill::ProbabilisticTransfer{.weight = 30000})},
      {"congruence", "labels + congruence", of_hidden_units(distill::CorrelationCongruence{.weight = 100})},
      {"cka", "labels + CKA", of_hidden_units(distill::LinearCka{})},
  };
}

}  // namespace mlp
