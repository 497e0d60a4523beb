#include "instances/instances.hpp"

DISTILL_MIXTURES()
