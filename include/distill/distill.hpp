// All of distill. Each header also stands alone.
#pragma once

#include <distill/core/version.hpp>
#include <distill/logits/cross_entropy.hpp>
#include <distill/logits/kl_divergence.hpp>
#include <distill/logits/knowledge_distillation.hpp>
#include <distill/logits/log_softmax.hpp>
#include <distill/logits/softmax.hpp>
