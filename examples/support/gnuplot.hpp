#pragma once

#include <filesystem>
#include <string>

namespace gnuplot {

bool is_installed();

// Writes gnuplot's output for the commands to a file; false, and no file, if it fails.
bool run(const std::string& commands, const std::filesystem::path& path);

}  // namespace gnuplot
