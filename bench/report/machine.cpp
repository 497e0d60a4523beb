#include "machine.hpp"

#include <distill/core/version.hpp>
#include <fstream>
#include <thread>

namespace report {
namespace {

#define DISTILL_REPORT_NAME_OF(name) #name
#define DISTILL_REPORT_TEXT(macro) DISTILL_REPORT_NAME_OF(macro)

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::vector<std::string> caches() {
  std::vector<std::string> result;
  for (int i = 0;; ++i) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + '/';
    std::string level, type, size;
    if (!(std::ifstream(folder + "level") >> level)) return result;
    std::ifstream(folder + "type") >> type;
    std::ifstream(folder + "size") >> size;
    result.push_back('L' + level + ' ' + type + ' ' + size);
  }
}

}  // namespace

Machine this_machine() {
  return {cpu_model(),
          std::thread::hardware_concurrency(),
          caches(),
          DISTILL_REPORT_COMPILER_NAME,
          DISTILL_REPORT_COMPILER_FLAGS,
          DISTILL_REPORT_TEXT(DISTILL_ABI)};
}

}  // namespace report
