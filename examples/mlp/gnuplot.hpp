#pragma once

#include <filesystem>
#include <string>

namespace gnuplot {

bool is_installed();

// Writes what gnuplot makes of the commands to a file; false, and no file, if it does not manage to.
bool run(const std::string& commands, const std::filesystem::path& path);

}  // namespace gnuplot
