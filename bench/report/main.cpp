// Measures distill against its peers, and writes the report.
#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>
#include <fstream>
#include <gnuplot.hpp>
#include <iostream>
#include <stdexcept>
#include <utility>

#include "contests.hpp"
#include "peers.hpp"
#include "report.hpp"

namespace {

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path);
  if (!(file << text << std::flush)) throw std::runtime_error("cannot write " + path.string());
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

int main(int argc, char** argv) try {
  std::filesystem::path folder = "report";
  double seconds = 1.5;
  std::string filter;
  CLI::App app{"Measures distill beside other libraries; writes report.md, report.json and plots"};
  app.add_option("--out", folder, "The folder to write into")->capture_default_str();
  app.add_option("--seconds", seconds, "How long a contest takes, if seven rounds of it take no longer")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--filter", filter, "Only contests whose name contains this");
  CLI11_PARSE(app, argc, argv);
  std::filesystem::create_directories(folder);

  report::Results results{report::this_machine(), report::peers(), {}, {}};
  std::vector<report::PlannedContest> plan = report::claimed_contests();
  for (report::PlannedContest& other : report::other_contests()) plan.push_back(std::move(other));
  for (const report::PlannedContest& planned : plan) {
    if (!contains(planned.name, filter)) continue;
    std::cerr << planned.name << std::endl;
    report::Contest contest = planned.make();
    report::compare(contest);
    results.outcomes.push_back(report::measure(std::move(contest), seconds));
  }
  for (report::MemoryUse& use : report::memory_use()) {
    if (contains(use.what, filter)) results.memory_use.push_back(std::move(use));
  }

  std::vector<std::string> plots;
  if (gnuplot::is_installed()) {
    plots = report::draw(results.outcomes, folder);
  } else {
    std::cerr << "No plots: gnuplot is not installed (Debian: gnuplot-nox)\n";
  }
  const std::string markdown = report::markdown(results, plots);
  write(folder / "report.json", report::json(results));
  write(folder / "report.md", markdown);
  std::cout << markdown << std::flush;
  return 0;
} catch (const std::exception& error) {
  std::cerr << "distill_report: " << error.what() << '\n';
  return 1;
}
