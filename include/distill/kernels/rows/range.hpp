// Which elements of a row.
#pragma once

#include <cstddef>

#include <distill/core/version.hpp>

namespace distill {
inline namespace DISTILL_ABI {
namespace kernels {

struct Range {
  std::size_t begin, end;
};

/// The index of no element: none is left out.
inline constexpr std::size_t none = static_cast<std::size_t>(-1);

}  // namespace kernels
}  // namespace DISTILL_ABI
}  // namespace distill
