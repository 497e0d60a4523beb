// Contests: several ways to compute one thing, run in turn in one process, so that all meet the same machine.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace report {

/// One way to compute it.
struct Contender {
  std::string name;
  std::function<double()> call;  ///< value and gradient; returns the value
  /// The gradient (of softmax: the output) that the last call computed. It and the value are compared with those of
  /// the contest's first contender that has one; those that compute something else have none.
  std::function<std::vector<float>()> result = {};
  double tolerance = 1e-4;  ///< relative to the value, and to the largest number of the result
};

/// The names that claims take for what the machine needs at least.
inline constexpr const char* memory = "memory";              ///< a triad that moves the contest's bytes
inline constexpr const char* exponentials = "exponentials";  ///< the contest's exponentials, of numbers in L1
inline constexpr const char* limit = "limit";                ///< the larger of the two

enum class Bound { none, at_most, at_least };

/// What is said of the time of one contender divided by that of another.
struct Claim {
  std::string dividend, divisor;
  Bound bound = Bound::none;
  double must = std::numeric_limits<double>::quiet_NaN(), goal = must;
};

struct Contest {
  std::string group;  ///< contests of one group share a plot
  std::string what, shape;
  std::size_t elements = 0;  ///< 0: the time is that of a call
  std::size_t bytes = 0;     ///< floats read and written; 0: memory is no limit
  double exponentials = 0;   ///< an element
  std::vector<Contender> contenders;
  std::vector<Claim> claims = {};
  std::size_t rounds = 0;  ///< exactly that many; 0: as many as the time allows

  std::string name() const { return shape.empty() ? what : what + ' ' + shape; }
};

/// Seconds a call.
struct Times {
  double median = 0, minimum = 0;
  std::size_t samples = 0;
};

struct Outcome {
  Contest contest;  ///< its contenders without what they hold
  std::vector<Times> times;

  /// Of a contender, memory, exponentials or the limit; null where it did not take part.
  const Times* find(const std::string& name) const;
  Times limit;
};

/// Throws std::runtime_error where contenders of one thing disagree.
void compare(const Contest& contest);

/// Adds the limits to the contenders and runs all of them in rounds for that many seconds.
Outcome measure(Contest contest, double seconds);

}  // namespace report
