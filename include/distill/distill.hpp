// All of distill that needs only xsimd. Include relations/*.hpp, attention/value_relation.hpp,
// features/neuron_selectivity.hpp and features/projected.hpp separately: their products need Eigen. Each header can
// also be included alone.
#pragma once

#include <distill/attention/attention_matrix.hpp>
#include <distill/attention/attention_transfer.hpp>
#include <distill/core/layers.hpp>
#include <distill/core/version.hpp>
#include <distill/features/activation_boundary.hpp>
#include <distill/features/channel_wise.hpp>
#include <distill/features/factor_transfer.hpp>
#include <distill/features/feature_matching.hpp>
#include <distill/features/margin_relu.hpp>
#include <distill/features/pearson_features.hpp>
#include <distill/features/review.hpp>
#include <distill/features/variational_information.hpp>
#include <distill/logits/adaptive_kl.hpp>
#include <distill/logits/alpha_divergence.hpp>
#include <distill/logits/binary_kl.hpp>
#include <distill/logits/cross_entropy.hpp>
#include <distill/logits/decoupled_kd.hpp>
#include <distill/logits/dist.hpp>
#include <distill/logits/jensen_shannon.hpp>
#include <distill/logits/kl_divergence.hpp>
#include <distill/logits/knowledge_distillation.hpp>
#include <distill/logits/log_softmax.hpp>
#include <distill/logits/logit_cosine.hpp>
#include <distill/logits/logit_mse.hpp>
#include <distill/logits/multi_level.hpp>
#include <distill/logits/reverse_kl.hpp>
#include <distill/logits/sampled_token_reverse_kl.hpp>
#include <distill/logits/skewed_kl.hpp>
#include <distill/logits/skewed_reverse_kl.hpp>
#include <distill/logits/softmax.hpp>
#include <distill/logits/symmetric_kl.hpp>
#include <distill/logits/top_k.hpp>
#include <distill/logits/total_variation.hpp>
#include <distill/logits/universal_logit.hpp>
#include <distill/logits/weighted_soft_label.hpp>
