#pragma once

#include <cstddef>

namespace report {

/// How often this program has allocated memory by operator new.
std::size_t allocations();

}  // namespace report
