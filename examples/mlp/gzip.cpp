#include "gzip.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace mlp {
namespace {

constexpr unsigned char gzip_magic = 0x1f;  // IDX files start with 0, the second byte need not be tested

}  // namespace

Unzipped::Unzipped(std::istream& stream) : stream_(stream), is_packed_(stream.peek() == gzip_magic) {
  constexpr int gzip_only = 16;
  if (is_packed_ && inflateInit2(&zlib_, gzip_only + MAX_WBITS) != Z_OK)
    throw std::runtime_error("zlib does not start");
}

Unzipped::~Unzipped() {
  if (is_packed_) inflateEnd(&zlib_);
}

std::size_t Unzipped::read_stream(void* to, std::size_t count) {
  stream_.read(static_cast<char*>(to), static_cast<std::streamsize>(count));
  if (stream_.bad()) throw std::runtime_error("cannot be read");
  return static_cast<std::size_t>(stream_.gcount());
}

std::size_t Unzipped::read(void* to, std::size_t count) {
  if (!is_packed_) return read_stream(to, count);
  std::size_t done = 0;
  while (done < count && !ended_) done += inflate_some(static_cast<char*>(to) + done, count - done);
  return done;
}

std::size_t Unzipped::inflate_some(void* to, std::size_t count) {
  if (zlib_.avail_in == 0) {
    zlib_.next_in = reinterpret_cast<unsigned char*>(packed_.data());
    zlib_.avail_in = static_cast<uInt>(read_stream(packed_.data(), packed_.size()));
    if (zlib_.avail_in == 0) throw std::runtime_error("is truncated: its gzip data does not come to an end");
  }
  const auto room = static_cast<uInt>(std::min<std::size_t>(count, std::numeric_limits<uInt>::max()));
  zlib_.next_out = static_cast<unsigned char*>(to);
  zlib_.avail_out = room;
  const int status = inflate(&zlib_, Z_NO_FLUSH);
  if (status == Z_STREAM_END) {
    ended_ = true;
    if (zlib_.avail_in > 0 || stream_.peek() != std::istream::traits_type::eof()) {
      throw std::runtime_error("is damaged: bytes follow the end of its gzip data");
    }
  } else if (status != Z_OK) {
    throw std::runtime_error("is damaged: zlib says: " +
                             std::string(zlib_.msg != nullptr ? zlib_.msg : zError(status)));
  }
  return room - zlib_.avail_out;
}

}  // namespace mlp
