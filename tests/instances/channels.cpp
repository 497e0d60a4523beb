#include "instances/instances.hpp"

DISTILL_CHANNELS()
