#include "instances/instances.hpp"

DISTILL_RELATIONS()
