#include "gnuplot.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace gnuplot {

namespace {

std::string shell_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

bool is_installed() {
  return std::system("command -v gnuplot >/dev/null 2>&1") == 0;
}

bool run(const std::string& commands, const std::filesystem::path& path) {
  std::FILE* gnuplot = popen(("gnuplot 2>/dev/null >" + shell_quoted(path.string())).c_str(), "w");
  if (gnuplot == nullptr) return false;
  const auto old_handler = std::signal(SIGPIPE, SIG_IGN);  // a gnuplot that dies must not take us along
  std::fwrite(commands.data(), 1, commands.size(), gnuplot);
  const int status = pclose(gnuplot);
  std::signal(SIGPIPE, old_handler);
  if (status != 0) std::filesystem::remove(path);
  return status == 0;
}

}  // namespace gnuplot
