#include "instances/instances.hpp"

DISTILL_TOP_K_LOSSES()
