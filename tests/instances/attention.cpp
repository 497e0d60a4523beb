#include "instances/instances.hpp"

DISTILL_ATTENTION()
