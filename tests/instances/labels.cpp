#include "instances/instances.hpp"

DISTILL_LABELS_ALONE()
