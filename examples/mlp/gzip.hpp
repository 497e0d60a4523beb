#pragma once

#include <zlib.h>

#include <array>
#include <cstddef>
#include <istream>

namespace mlp {

// The bytes of a stream, unpacked if it starts like a gzip file. Needs the same small amount of memory whatever the
// stream contains. Throws std::runtime_error with "is damaged: ..." or "is truncated: ...".
class Unzipped {
 public:
  explicit Unzipped(std::istream& stream);
  ~Unzipped();
  Unzipped(const Unzipped&) = delete;
  Unzipped& operator=(const Unzipped&) = delete;

  // Returns how many bytes there were: fewer than `count` only at the end. The end of a gzip file is only reported if
  // its checksum is right and nothing follows it.
  std::size_t read(void* to, std::size_t count);

 private:
  std::size_t read_stream(void* to, std::size_t count);
  std::size_t inflate_some(void* to, std::size_t count);

  std::istream& stream_;
  const bool is_packed_;
  bool ended_ = false;
  z_stream zlib_{};
  std::array<char, 16384> packed_;
};

}  // namespace mlp
