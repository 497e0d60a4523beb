// Naive references of the losses on hidden layers, in long double: the plain formulas, one sample each.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <distill/attention/attention_transfer.hpp>
#include <distill/features/feature_matching.hpp>
#include <vector>

#include "support/reference.hpp"

namespace reference {

inline long double dot(const Row& a, const Row& b) {
  long double sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += a[j] * b[j];
  return sum;
}

inline long double squared_distance(const Row& a, const Row& b) {
  long double sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += (a[j] - b[j]) * (a[j] - b[j]);
  return sum;
}

/// x / |x|; 0 stays 0
inline Row unit(Row x) {
  const long double length = std::sqrt(dot(x, x));
  for (long double& element : x) element = length > 0 ? element / length : 0;
  return x;
}

/// d loss / d x from the gradient with respect to unit(x)
inline Row through_unit(const Row& x, const Row& gradient) {
  const long double length = std::sqrt(dot(x, x));
  const Row u = unit(x);
  const long double along = dot(u, gradient);
  Row result;
  for (std::size_t j = 0; j < x.size(); ++j) result.push_back(length > 0 ? (gradient[j] - u[j] * along) / length : 0);
  return result;
}

inline Result feature_matching(const distill::FeatureMatching& loss, const Row& student, const Row& teacher) {
  using distill::FeatureDistance;
  Result result;
  if (loss.distance == FeatureDistance::cosine) {
    const Row u = unit(student), v = unit(teacher);
    result.loss = 1 - dot(u, v);
    for (const long double element : v) result.gradient.push_back(-element);
    result.gradient = through_unit(student, result.gradient);
    return result;
  }
  const Row s = loss.normalize ? unit(student) : student;
  const Row t = loss.normalize ? unit(teacher) : teacher;
  const long double delta = loss.delta;
  for (std::size_t j = 0; j < s.size(); ++j) {
    const long double d = s[j] - t[j];
    const long double side = d > 0 ? 1 : d < 0 ? -1 : 0;
    switch (loss.distance) {
      case FeatureDistance::squared:
        result.loss += d * d;
        result.gradient.push_back(2 * d);
        break;
      case FeatureDistance::absolute:
        result.loss += std::abs(d);
        result.gradient.push_back(side);
        break;
      default: {  // huber; smooth_l1 is that over delta
        const bool inside = std::abs(d) < delta;
        const long double scale = loss.distance == FeatureDistance::huber ? 1 : 1 / delta;
        result.loss += scale * (inside ? d * d / 2 : delta * (std::abs(d) - delta / 2));
        result.gradient.push_back(scale * (inside ? d : delta * side));
      }
    }
  }
  if (loss.normalize) result.gradient = through_unit(student, result.gradient);
  return result;
}

/// Channels of height x width positions, one after another.
struct Maps {
  Row data;
  std::size_t channels, height, width;

  long double& at(std::size_t c, std::size_t y, std::size_t x) { return data[(c * height + y) * width + x]; }
  long double at(std::size_t c, std::size_t y, std::size_t x) const { return data[(c * height + y) * width + x]; }
};

/// Calls body(y, x, i, j, share) for each bin (y, x) and each position (i, j) in it.
template <class Body>
void for_each_pooled(const Maps& maps, std::size_t height, std::size_t width, const Body& body) {
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) {
      std::vector<std::pair<std::size_t, std::size_t>> bin;
      for (std::size_t i = 0; i < maps.height; ++i) {
        for (std::size_t j = 0; j < maps.width; ++j) {
          // the bin covers [y, y + 1) * maps.height / height: whether it touches row i
          const bool in_rows = i * height < (y + 1) * maps.height && (i + 1) * height > y * maps.height;
          const bool in_cols = j * width < (x + 1) * maps.width && (j + 1) * width > x * maps.width;
          if (in_rows && in_cols) bin.emplace_back(i, j);
        }
      }
      for (const auto& [i, j] : bin) body(y, x, i, j, 1 / static_cast<long double>(bin.size()));
    }
  }
}

inline Maps average_pool(const Maps& maps, std::size_t height, std::size_t width) {
  Maps result{Row(maps.channels * height * width), maps.channels, height, width};
  for_each_pooled(maps, height, width, [&](auto y, auto x, auto i, auto j, long double share) {
    for (std::size_t c = 0; c < maps.channels; ++c) result.at(c, y, x) += share * maps.at(c, i, j);
  });
  return result;
}

inline Row attention(const Maps& maps, long double power) {
  Row result(maps.height * maps.width);
  for (std::size_t k = 0; k < maps.data.size(); ++k)
    result[k % result.size()] += std::pow(std::abs(maps.data[k]), power);
  return result;
}

inline Result attention_transfer(const distill::AttentionTransfer& loss, const Maps& student, const Maps& teacher) {
  const std::size_t height = std::min(student.height, teacher.height), width = std::min(student.width, teacher.width);
  const Maps s = average_pool(student, height, width);
  const Row map = attention(s, loss.power);
  const Row u = unit(map), v = unit(attention(average_pool(teacher, height, width), loss.power));
  Result result;
  Row g;
  for (std::size_t p = 0; p < u.size(); ++p) {
    result.loss += (u[p] - v[p]) * (u[p] - v[p]);
    g.push_back(2 * (u[p] - v[p]));
  }
  if (loss.distance == distill::AttentionDistance::euclidean) {
    result.loss = std::sqrt(result.loss);
    for (long double& element : g) element = result.loss > 0 ? element / (2 * result.loss) : 0;
  }
  g = through_unit(map, g);
  Maps pooled = s;
  for (std::size_t k = 0; k < s.data.size(); ++k) {
    const long double x = s.data[k], side = x > 0 ? 1 : x < 0 ? -1 : 0;
    pooled.data[k] = g[k % g.size()] * loss.power * std::pow(std::abs(x), loss.power - 1) * side;
  }
  Maps gradient{Row(student.data.size()), student.channels, student.height, student.width};
  for_each_pooled(student, height, width, [&](auto y, auto x, auto i, auto j, long double share) {
    for (std::size_t c = 0; c < student.channels; ++c) gradient.at(c, i, j) += share * pooled.at(c, y, x);
  });
  result.gradient = gradient.data;
  return result;
}

}  // namespace reference
