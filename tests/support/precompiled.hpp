// What most tests include, read once for all of them. Each test still names what it uses.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <distill/distill.hpp>
#include <distill/features/projected.hpp>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>
