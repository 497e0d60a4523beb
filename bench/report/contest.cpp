#include "contest.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits.hpp>
#include <memory>
#include <sstream>
#include <stdexcept>

namespace report {
namespace {

constexpr double shortest_sample = 200e-6;
constexpr std::size_t fewest_rounds = 7;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Runner {
  const Contender& contender;
  std::size_t repeats = 1;
  std::vector<double> samples = {};

  explicit Runner(const Contender& c) : contender(c) {
    contender.call();  // memory and threads that are created once
    repeats = static_cast<std::size_t>(std::ceil(shortest_sample / std::max(1e-9, sample())));
  }

  double sample() const {
    if (repeats > 1) contender.call();  // brings back into cache what fits, after the others
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < repeats; ++i) {
      double value = contender.call();
      benchmark::DoNotOptimize(value);
    }
    return seconds_since(start) / static_cast<double>(repeats);
  }

  Times times() {
    std::sort(samples.begin(), samples.end());
    return {samples[samples.size() / 2], samples.front(), samples.size()};
  }
};

void add_limits(Contest& contest) {
  if (contest.bytes > 0) {
    const std::size_t n = contest.bytes / (3 * sizeof(float));
    const auto arrays = std::make_shared<std::vector<float>>(3 * n, 1.0f);
    contest.contenders.push_back({memory, [arrays, n] {
                                    float* const a = arrays->data();
                                    bench::triad(a, a + n, a + 2 * n, n);
                                    return 0.0;
                                  }});
  }
  if (contest.exponentials > 0) {
    const double count = contest.exponentials * static_cast<double>(contest.elements);
    contest.contenders.push_back({exponentials, [count] {
                                    alignas(64) static const float x[2048] = {};
                                    for (double done = 0; done < count; done += 2048) bench::exponentials(x, 2048);
                                    return 0.0;
                                  }});
  }
}

}  // namespace

const Times* Outcome::find(const std::string& name) const {
  if (name == report::limit) return limit.samples > 0 ? &limit : nullptr;
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (contest.contenders[i].name == name) return &times[i];
  }
  return nullptr;
}

void compare(const Contest& contest) {
  const Contender* first = nullptr;
  double expected_value = 0, largest = 0;
  std::vector<float> expected;
  for (const Contender& contender : contest.contenders) {
    if (!contender.result) continue;
    const double value = contender.call();
    std::vector<float> result = contender.result();
    if (first == nullptr) {
      first = &contender;
      expected_value = value;
      expected = std::move(result);
      for (const float x : expected) largest = std::max<double>(largest, std::abs(x));
      continue;
    }
    const auto disagree = [&](const char* what, double a, double b) {
      std::ostringstream message;
      message.precision(9);
      message << contest.name() << ": " << contender.name << " and " << first->name << " disagree on the " << what
              << ", " << a << " and " << b << ", so they do not compute the same thing";
      throw std::runtime_error(message.str());
    };
    // negated, as NaN must not pass
    if (!(std::abs(value - expected_value) <= contender.tolerance * std::abs(expected_value))) {
      disagree("value", value, expected_value);
    }
    if (result.size() != expected.size()) {
      disagree("size of the result", static_cast<double>(result.size()), static_cast<double>(expected.size()));
    }
    for (std::size_t i = 0; i < result.size(); ++i) {
      if (!(std::abs(result[i] - expected[i]) <= contender.tolerance * largest)) {
        disagree(("result at " + std::to_string(i)).c_str(), result[i], expected[i]);
      }
    }
  }
}

Outcome measure(Contest contest, double seconds) {
  add_limits(contest);
  std::vector<Runner> runners(contest.contenders.begin(), contest.contenders.end());
  const std::size_t least = contest.rounds > 0 ? contest.rounds : fewest_rounds;
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t round = 0; round < least || (contest.rounds == 0 && seconds_since(start) < seconds); ++round) {
    for (Runner& runner : runners) runner.samples.push_back(runner.sample());
  }
  Outcome outcome{std::move(contest), {}, {}};
  for (Runner& runner : runners) outcome.times.push_back(runner.times());
  for (const char* name : {memory, exponentials}) {
    if (const Times* times = outcome.find(name)) {
      outcome.limit.median = std::max(outcome.limit.median, times->median);
      outcome.limit.minimum = std::max(outcome.limit.minimum, times->minimum);
      outcome.limit.samples = times->samples;
    }
  }
  for (Contender& contender : outcome.contest.contenders) contender.call = nullptr, contender.result = nullptr;
  return outcome;
}

}  // namespace report
