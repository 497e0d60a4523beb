#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

// All of these throw std::runtime_error with one line that names the file and the reason.
namespace mlp {

std::string read_file(const std::filesystem::path& path, std::size_t largest);

// A reader sees the old file or the new one, never half of it: the bytes go to a temporary file that is then renamed.
void write_file(const std::filesystem::path& path, std::string_view bytes);

// Finds out before hours of work whether write_file will succeed afterwards.
void check_writable(const std::filesystem::path& path);

}  // namespace mlp
