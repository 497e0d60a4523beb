// Here distill meets the trainer: each loss is called with what student and teacher compute from a batch, and writes
// the gradient that back-propagation starts from.
#include <distill/attention/attention_transfer.hpp>
#include <distill/features/feature_matching.hpp>
#include <distill/features/projected.hpp>
#include <distill/logits/cross_entropy.hpp>
#include <distill/logits/kl_divergence.hpp>
#include <distill/logits/knowledge_distillation.hpp>
#include <vector>

#include "experiments.hpp"

namespace mlp {

std::vector<Layer> make_projection(const Network& student, const Network& teacher, Random& random) {
  const auto outputs = [](const Layer& layer) { return static_cast<int>(layer.bias.size()); };
  Layer projection = make_layer(outputs(student[1]), outputs(teacher[1]), random);
  projection.weights.transposeInPlace();  // [outputs, inputs], as distill has them
  return {projection};
}

std::vector<Variant> default_variants(const Settings& settings) {
  const distill::CrossEntropy cross_entropy;
  const distill::CrossEntropy smoothed{.label_smoothing = label_smoothing};
  const distill::KnowledgeDistillation distillation{.temperature = settings.temperature, .alpha = settings.alpha};
  const distill::KlDivergence divergence{.temperature = settings.temperature};
  const distill::Projected hint{distill::FeatureMatching{.weight = settings.hint_weight}};
  const distill::AttentionTransfer attention{.weight = settings.attention_weight};
  const int channels = settings.channels;
  return {
      {"labels", "labels only",
       [=](const Step& step) { return cross_entropy(step.student.logits, step.labels, step.gradient.logits); }},
      {"label-smoothing", "label smoothing",
       [=](const Step& step) { return smoothed(step.student.logits, step.labels, step.gradient.logits); }},
      {"kd", "KD: teacher and labels",
       [=](const Step& step) {
         return distillation(step.student.logits, step.teacher.logits, step.labels, step.gradient.logits);
       }},
      {"kl", "KL: teacher only",
       [=](const Step& step) { return divergence(step.student.logits, step.teacher.logits, step.gradient.logits); }},
      {"kd-features", "KD + feature matching",
       [=](const Step& step) {
         const auto& [weights, bias] = step.own.front();
         auto& [weights_gradient, bias_gradient] = step.own_gradient.front();
         return distillation(step.student.logits, step.teacher.logits, step.labels, step.gradient.logits) +
                hint(step.student.features, distill::linear_projection(weights, bias), step.teacher.features,
                     step.gradient.features, distill::linear_projection(weights_gradient, bias_gradient));
       },
       make_projection},
      {"kd-attention", "KD + attention transfer",
       [=](const Step& step) {
         return distillation(step.student.logits, step.teacher.logits, step.labels, step.gradient.logits) +
                attention(as_maps(step.student.maps, channels), as_maps(step.teacher.maps, teacher_channels),
                          as_maps(step.gradient.maps, channels));
       }},
  };
}

}  // namespace mlp
