#include "instances/instances.hpp"

DISTILL_OTHER_SCORES()
