// All of distill that needs nothing but xsimd: features/projected.hpp, which needs Eigen, is included by itself. Each
// header also stands alone.
#pragma once

#include <distill/attention/attention_transfer.hpp>
#include <distill/core/version.hpp>
#include <distill/features/feature_matching.hpp>
#include <distill/logits/cross_entropy.hpp>
#include <distill/logits/kl_divergence.hpp>
#include <distill/logits/knowledge_distillation.hpp>
#include <distill/logits/log_softmax.hpp>
#include <distill/logits/softmax.hpp>
