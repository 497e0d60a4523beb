#include "instances/instances.hpp"

DISTILL_MORE_RELATIONS()
