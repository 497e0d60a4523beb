#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <istream>
#include <vector>

namespace mlp {

// An array of unsigned bytes in the format of the MNIST files: two bytes 0, a byte 8 for the type of the values, a byte
// for the number of dimensions, the size of each dimension as a big-endian 32-bit number, and the values.
struct IdxArray {
  std::vector<std::uint32_t> sizes;  // none is 0
  std::vector<std::uint8_t> values;  // as many as the product of the sizes
};

inline constexpr std::uint64_t largest_idx = std::uint64_t{1} << 30;  // 22 times the images of MNIST

// Reads an array of that many dimensions, plain or packed by gzip. Memory grows with the values actually read, whatever
// the file claims, and reading stops at its claimed end. Throws std::runtime_error with one line, which names the file
// if it is given as a path.
IdxArray read_idx(std::istream& file, std::size_t dimensions);
IdxArray read_idx(const std::filesystem::path& path, std::size_t dimensions);

}  // namespace mlp
