// What contests share: random scores, distill's losses as contenders, and its peers.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <support.hpp>
#include <utility>
#include <vector>

#include "contest.hpp"
#include "peers.hpp"

namespace report {

template <class T>
using Batch = std::shared_ptr<bench::Batch<T>>;

struct Shape {
  std::size_t rows, cols;
  std::string name() const { return std::to_string(rows) + 'x' + std::to_string(cols); }
  std::size_t elements() const { return rows * cols; }
};

template <class T>
Batch<T> batch_of(Shape shape) {
  return std::make_shared<bench::Batch<T>>(shape.rows, shape.cols);
}

template <class T>
std::vector<float> floats(const std::vector<T>& numbers) {
  std::vector<float> result;
  result.reserve(numbers.size());
  for (const T& x : numbers) result.push_back(distill::detail::load_scalar<float>(&x));
  return result;
}

/// Value and gradient of a loss on rows.
template <class T, class Loss>
Contender ours(std::string name, const Batch<T>& batch, const Loss& loss, double tolerance = 1e-4) {
  return {std::move(name), [=] { return loss(batch->s(), batch->t(), batch->g()); },
          [=] { return floats(batch->grad); }, tolerance};
}

inline void add_peers(Contest& contest, const Problem& problem) {
  for (Contender& peer : peer_contenders(problem)) contest.contenders.push_back(std::move(peer));
}

}  // namespace report
