#include "instances/instances.hpp"

DISTILL_KL_DIVERGENCE()
