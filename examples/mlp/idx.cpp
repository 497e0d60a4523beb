#include "idx.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "gzip.hpp"

namespace mlp {
namespace {

constexpr unsigned type_of_bytes = 8;

std::string to_string(const std::vector<std::uint32_t>& sizes) {
  std::string text;
  for (const std::uint32_t size : sizes) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text;
}

std::uint32_t read_word(Unzipped& file) {
  std::array<std::uint8_t, 4> bytes;
  if (file.read(bytes.data(), bytes.size()) < bytes.size()) {
    throw std::runtime_error("is truncated: it ends within the header");
  }
  std::uint32_t word = 0;
  for (const std::uint8_t byte : bytes) word = word << 8 | byte;
  return word;
}

void check_magic(std::uint32_t magic, std::size_t dimensions) {
  if (magic >> 16 != 0) throw std::runtime_error("is not an IDX file: that starts with two bytes 0");
  if (const std::uint32_t type = magic >> 8; type != type_of_bytes) {
    throw std::runtime_error("holds values of type " + std::to_string(type) + ", expected " +
                             std::to_string(type_of_bytes) + ": unsigned bytes");
  }
  if (const std::uint32_t found = magic & 0xFF; found != dimensions) {
    throw std::runtime_error("has dimensions: " + std::to_string(found) + ", expected " + std::to_string(dimensions));
  }
}

std::uint64_t checked_product(const std::vector<std::uint32_t>& sizes) {
  std::uint64_t product = 1;
  for (const std::uint32_t size : sizes) {
    if (size == 0) throw std::runtime_error("claims " + to_string(sizes) + " values, expected at least one");
    product = product > largest_idx ? product : product * size;  // at most 2^30 * 2^32
  }
  if (product > largest_idx) {
    throw std::runtime_error("claims " + to_string(sizes) + " values, expected at most " + std::to_string(largest_idx));
  }
  return product;
}

std::vector<std::uint8_t> read_values(Unzipped& file, std::size_t count) {
  constexpr std::size_t chunk = 65536;
  std::vector<std::uint8_t> values;
  while (values.size() < count) {
    const std::size_t old = values.size();
    const std::size_t wanted = std::min(chunk, count - old);
    values.resize(old + wanted);
    if (const std::size_t got = file.read(values.data() + old, wanted); got < wanted) {
      throw std::runtime_error("is truncated: it holds " + std::to_string(old + got) + " values, expected " +
                               std::to_string(count));
    }
  }
  std::uint8_t more;
  if (file.read(&more, 1) > 0) {
    throw std::runtime_error("is damaged: bytes follow its last value, expected " + std::to_string(count) + " values");
  }
  return values;
}

}  // namespace

IdxArray read_idx(std::istream& stream, std::size_t dimensions) {
  Unzipped file(stream);
  check_magic(read_word(file), dimensions);
  IdxArray array;
  for (std::size_t i = 0; i < dimensions; ++i) array.sizes.push_back(read_word(file));
  array.values = read_values(file, checked_product(array.sizes));
  return array;
}

IdxArray read_idx(const std::filesystem::path& path, std::size_t dimensions) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string() + ": " + std::strerror(errno));
  try {
    return read_idx(file, dimensions);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(path.string() + " " + error.what());
  }
}

}  // namespace mlp
