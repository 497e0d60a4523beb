#include "instances/instances.hpp"

DISTILL_DIVERGENCES()
