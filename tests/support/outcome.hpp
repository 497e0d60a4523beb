// All results of a call of a loss, for comparison.
#pragma once

#include <distill/core/options.hpp>
#include <vector>

#include "support/data.hpp"

namespace support {

template <class S>
struct Outcome {
  double total = 0;
  std::vector<double> losses;
  Matrix<S> grad;

  bool same_bits(const Outcome& other) const {
    return total == other.total && losses == other.losses && grad.same_bits(other.grad);
  }
};

template <class Loss, class S, class T>
Outcome<S> run(const Loss& loss, const Scores<S, T>& scores, distill::RowOptions options = {}) {
  Outcome<S> outcome{0, std::vector<double>(scores.student.rows()),
                     Matrix<S>(scores.student.rows(), scores.student.cols())};
  options.losses = outcome.losses;
  outcome.total = loss(scores.student.view(), scores.teacher.view(), scores.labels, outcome.grad.view(), options);
  return outcome;
}

}  // namespace support
