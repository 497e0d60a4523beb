#include "report.hpp"

#include <cmath>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

namespace report {
namespace {

/// A claim and what was measured.
struct Verdict {
  std::string what;
  double median, minimum;  ///< NaN: a contender did not take part
  Bound bound;
  double must, goal;

  bool is_measured() const { return !std::isnan(median); }
  bool meets(double bound_value) const {
    return bound == Bound::at_most ? median <= bound_value : median >= bound_value;
  }
  std::string met() const {
    if (!is_measured()) return "not measured";
    if (bound == Bound::none) return "";
    return meets(goal) ? "goal" : meets(must) ? "must" : "no";
  }
};

std::vector<Verdict> verdicts(const Results& results) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<Verdict> list;
  for (const Outcome& outcome : results.outcomes) {
    for (const Claim& claim : outcome.contest.claims) {
      const Times* const a = outcome.find(claim.dividend);
      const Times* const b = outcome.find(claim.divisor);
      const bool measured = a != nullptr && b != nullptr;
      list.push_back({outcome.contest.name() + ": " + claim.dividend + " / " + claim.divisor,
                      measured ? a->median / b->median : nan, measured ? a->minimum / b->minimum : nan, claim.bound,
                      claim.must, claim.goal});
    }
  }
  for (const MemoryUse& use : results.memory_use) {
    const auto count = static_cast<double>(use.allocations);
    list.push_back({use.what + ": heap allocations of a call after the first", count, count, Bound::at_most, 0, 0});
  }
  return list;
}

std::string number(double x, int digits = 3) {
  if (std::isnan(x)) return "–";
  std::ostringstream text;
  text << std::setprecision(digits);
  if (x >= 100) text << std::fixed << std::setprecision(0);
  text << x;
  return text.str();
}

std::string bound(Bound kind, double x) {
  if (kind == Bound::none) return "–";
  return (kind == Bound::at_most ? "≤ " : "≥ ") + number(x);
}

/// Nanoseconds per element, or seconds per call.
double scaled(const Contest& contest, double seconds) {
  return contest.elements > 0 ? seconds / static_cast<double>(contest.elements) * 1e9 : seconds;
}

}  // namespace

std::string json(const Results& results) {
  using Json = nlohmann::ordered_json;
  const Machine& machine = results.machine;
  Json root{{"machine",
             {{"cpu", machine.cpu},
              {"cores", machine.cores},
              {"caches", machine.caches},
              {"compiler", machine.compiler},
              {"flags", machine.flags},
              {"instruction_set", machine.instruction_set}}},
            {"peers", Json::array()},
            {"claims", Json::array()},
            {"contests", Json::array()},
            {"memory_use", Json::array()}};
  for (const Peer& peer : results.peers) {
    root["peers"].push_back({{"name", peer.name}, {"version", peer.version.empty() ? Json() : Json(peer.version)}});
  }
  for (const Verdict& verdict : verdicts(results)) {
    Json claim{{"what", verdict.what}, {"median", verdict.median}, {"minimum", verdict.minimum}};
    if (verdict.bound != Bound::none) {
      claim["bound"] = verdict.bound == Bound::at_most ? "at most" : "at least";
      claim["must"] = verdict.must;
      claim["goal"] = verdict.goal;
      claim["met"] = verdict.met();
    }
    root["claims"].push_back(std::move(claim));
  }
  for (const Outcome& outcome : results.outcomes) {
    const Contest& contest = outcome.contest;
    Json contenders = Json::array();
    for (std::size_t i = 0; i < contest.contenders.size(); ++i) {
      const Times& times = outcome.times[i];
      contenders.push_back({{"name", contest.contenders[i].name},
                            {"median_seconds", times.median},
                            {"minimum_seconds", times.minimum},
                            {"samples", times.samples}});
    }
    root["contests"].push_back({{"group", contest.group},
                                {"what", contest.what},
                                {"shape", contest.shape},
                                {"elements", contest.elements},
                                {"bytes", contest.bytes},
                                {"exponentials_per_element", contest.exponentials},
                                {"contenders", std::move(contenders)}});
  }
  for (const MemoryUse& use : results.memory_use) {
    root["memory_use"].push_back(
        {{"what", use.what}, {"allocations", use.allocations}, {"scratch_bytes", use.scratch_bytes}});
  }
  return root.dump(2) + '\n';
}

std::string markdown(const Results& results, const std::vector<std::string>& plots) {
  std::ostringstream text;
  const Machine& machine = results.machine;
  text << "# distill beside its peers\n\n" << machine.cpu << ", " << machine.cores << " cores";
  for (const std::string& cache : machine.caches) text << ", " << cache;
  text << "; " << machine.compiler << ' ' << machine.flags << "; " << machine.instruction_set << ".\n\nPeers: ";
  const char* separator = "";
  for (const Peer& peer : results.peers) {
    text << separator << peer.name << ' ';
    if (peer.version.empty()) {
      text << "**missing** (Debian: " << peer.package << ')';
    } else {
      text << peer.version;
    }
    separator = ", ";
  }
  text << ".\n\nContenders of a contest run in turn, on one thread unless their name says more. `limit` is the larger "
          "of "
          "`memory` (a triad\nthat moves the same bytes) and `exponentials` (as many, of numbers in L1).\n\n"
          "## Claims\n\nTime / time; whether they are met is said of the medians.\n\n"
          "| what | of medians | of minima | must | goal | met |\n|---|---|---|---|---|---|\n";
  for (const Verdict& verdict : verdicts(results)) {
    text << "| " << verdict.what << " | " << number(verdict.median) << " | " << number(verdict.minimum) << " | "
         << bound(verdict.bound, verdict.must) << " | " << bound(verdict.bound, verdict.goal) << " | " << verdict.met()
         << " |\n";
  }
  if (!results.outcomes.empty()) {
    text << "\n## Contests\n\nNanoseconds an element, of compiling seconds.\n\n"
            "| what | contender | median | minimum |\n|---|---|---|---|\n";
  }
  for (const Outcome& outcome : results.outcomes) {
    for (std::size_t i = 0; i < outcome.times.size(); ++i) {
      text << "| " << (i == 0 ? outcome.contest.name() : "") << " | " << outcome.contest.contenders[i].name << " | "
           << number(scaled(outcome.contest, outcome.times[i].median)) << " | "
           << number(scaled(outcome.contest, outcome.times[i].minimum)) << " |\n";
    }
  }
  if (!results.memory_use.empty()) {
    text << "\n## Memory\n\nOf value and gradient, 64 x 1568 (maps: 2 x 28 x 28).\n\n"
            "| what | heap allocations of a call after the first | scratch bytes |\n|---|---|---|\n";
  }
  for (const MemoryUse& use : results.memory_use) {
    text << "| " << use.what << " | " << use.allocations << " | " << use.scratch_bytes << " |\n";
  }
  if (!plots.empty()) text << "\n## Plots\n\n";
  for (const std::string& plot : plots) text << "![" << plot << "](" << plot << ")\n";
  return text.str();
}

}  // namespace report
