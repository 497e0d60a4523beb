#include "progress.hpp"

#include <unistd.h>

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>

namespace mlp {
namespace {

constexpr int bar_width = 30;
constexpr int line_width = 60;

}  // namespace

Progress::Progress(int total) : total_(total), visible_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (visible_) std::fprintf(stderr, "\r%*s\r", line_width, "");
}

void Progress::advance() {
  const std::lock_guard lock(mutex_);
  ++done_;
  const Clock::time_point now = Clock::now();
  if (!visible_ || now - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = now;
  const double share = static_cast<double>(done_) / total_;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  std::string bar(bar_width, '.');
  bar.replace(0, static_cast<std::size_t>(share * bar_width), static_cast<std::size_t>(share * bar_width), '#');
  const std::string left = elapsed < 1 ? "" : std::to_string(std::lround(elapsed / share - elapsed)) + " s left";
  std::fprintf(stderr, "\rtraining [%s] %3.0f %%  %-14s", bar.c_str(), 100 * share, left.c_str());
}

}  // namespace mlp
