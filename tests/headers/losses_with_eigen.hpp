// Calls each loss that the umbrella leaves out because it needs Eigen, so that the C++17 compilers see its code, too.
// Comes after tests/odr/every_loss.hpp.
#pragma once

#include <distill/attention/value_relation.hpp>
#include <distill/features/feature_matching.hpp>
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

namespace {

template <class S>
bool losses_with_eigen_are_finite() {
  using namespace distill;
  S student[24], teacher[24], grad[24], weights[36], grad_weights[36];
  for (int k = 0; k < 36; ++k) weights[k] = scalar<S>(k % 5);
  for (int k = 0; k < 24; ++k) {
    student[k] = scalar<S>(k % 7);
    teacher[k] = scalar<S>(k % 11);
  }
  double sum = 0;
  const auto add = [&](const auto& loss, const auto& s, const auto& t, const auto& g) {
    sum += loss(s, t) + loss(s, t, g) + loss(s, t, add_to(g));
  };
  const MatrixView<S> s{student, 4, 6}, t{teacher, 4, 6}, g{grad, 4, 6};
  add(Contrastive{}, s, t, g);
  add(CorrelationCongruence{}, s, t, g);
  add(LinearCka{}, s, t, g);
  add(ProbabilisticTransfer{}, s, t, g);
  add(RelationalAngle{}, s, t, g);
  add(RelationalDistance{}, s, t, g);
  add(SimilarityPreserving{}, s, t, g);
  const FeatureMapView<S> maps{student, 2, 3, 2, 2}, teacher_maps{teacher, 2, 3, 2, 2}, grad_maps{grad, 2, 3, 2, 2};
  add(ChannelGram{}, maps, teacher_maps, grad_maps);
  add(NeuronSelectivity{}, maps, teacher_maps, grad_maps);
  ValueRelation values;
  values.relation_heads = 1;
  add(values, maps, teacher_maps, grad_maps);
  const auto projection = linear_projection(MatrixView<S>{weights, 6, 6});
  sum += Projected<FeatureMatching>{}(s, projection, t, g, linear_projection(MatrixView<S>{grad_weights, 6, 6}));
  return sum - sum == 0;
}

}  // namespace
