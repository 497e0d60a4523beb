#include "files.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace mlp {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& what, const fs::path& path, int code) {
  throw std::runtime_error("cannot " + what + " " + path.string() + ": " + std::strerror(code));
}

fs::path write_temporary(const fs::path& path, std::string_view bytes) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) fail("write", path, EISDIR);
  fs::path temporary = path;
  temporary += '.';
  temporary += std::to_string(getpid());
  temporary += ".tmp";
  errno = 0;
  std::ofstream file(temporary, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) {
    const int code = errno != 0 ? errno : EIO;
    fs::remove(temporary, ignored);
    fail("write", path, code);
  }
  return temporary;
}

}  // namespace

std::string read_file(const fs::path& path, std::size_t largest) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("read", path, errno != 0 ? errno : EIO);
  std::string bytes;
  char chunk[65536];
  do {
    file.read(chunk, sizeof chunk);
    bytes.append(chunk, static_cast<std::size_t>(file.gcount()));
    if (bytes.size() > largest) fail("read", path, EFBIG);
  } while (file);
  if (file.bad()) fail("read", path, errno != 0 ? errno : EIO);
  return bytes;
}

void write_file(const fs::path& path, std::string_view bytes) {
  const fs::path temporary = write_temporary(path, bytes);
  std::error_code error;
  fs::rename(temporary, path, error);
  if (!error) return;
  std::error_code ignored;
  fs::remove(temporary, ignored);
  fail("write", path, error.value());
}

void check_writable(const fs::path& path) {
  fs::remove(write_temporary(path, ""));
}

}  // namespace mlp
