// Throws anything at the reader of IDX files. It must either refuse or return as many values as it says.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>

#include "idx.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  for (const std::size_t dimensions : {1U, 3U}) {
    std::istringstream file(std::string(reinterpret_cast<const char*>(bytes), size));
    try {
      const mlp::IdxArray array = mlp::read_idx(file, dimensions);
      std::uint64_t product = 1;
      for (const std::uint32_t side : array.sizes) product *= side;
      if (array.sizes.size() != dimensions || array.values.size() != product) std::abort();
    } catch (const std::runtime_error&) {
      // A clear refusal is all that can be asked for.
    }
  }
  return 0;
}
