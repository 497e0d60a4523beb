#include "instances/instances.hpp"

DISTILL_KNOWLEDGE_DISTILLATION()
