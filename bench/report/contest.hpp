// Contests: several ways to compute the same thing, run in turn in one process, under the same load.
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

/// The names of the machine's limits in claims.
inline constexpr const char* memory = "memory";              ///< a triad that moves the contest's bytes
inline constexpr const char* exponentials = "exponentials";  ///< the contest's exponentials, of numbers in L1
inline constexpr const char* limit = "limit";                ///< the larger of the two

enum class Bound { none, at_most, at_least };

/// A claim about the time of one contender divided by that of another.
struct Claim {
  std::string dividend, divisor;
  Bound bound = Bound::none;
  double must = std::numeric_limits<double>::quiet_NaN(), goal = must;
};

struct Contest {
  std::string group;  ///< contests of one group share a plot
  std::string what, shape;
  std::size_t elements = 0;  ///< 0: the time is per call
  std::size_t bytes = 0;     ///< floats read and written; 0: memory is no limit
  double exponentials = 0;   ///< per element
  std::vector<Contender> contenders;
  std::vector<Claim> claims = {};
  std::size_t rounds = 0;  ///< exactly this many; 0: as many as the time allows

  std::string name() const { return shape.empty() ? what : what + ' ' + shape; }
};

/// Seconds per call.
struct Times {
  double median = 0, minimum = 0;
  std::size_t samples = 0;
};

struct Outcome {
  Contest contest;  ///< its contenders without their data
  std::vector<Times> times;

  /// For a contender, memory, exponentials or the limit; null if it did not take part.
  const Times* find(const std::string& name) const;
  Times limit;
};

/// Throws std::runtime_error if contenders that compute the same thing disagree.
void compare(const Contest& contest);

/// Adds the limits to the contenders and runs all of them in rounds for this many seconds.
Outcome measure(Contest contest, double seconds);

}  // namespace report
