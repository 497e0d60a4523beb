#include "instances/instances.hpp"

DISTILL_ALL_SOFTMAX()
