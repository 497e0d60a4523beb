#include "instances/instances.hpp"

DISTILL_FEATURES()
