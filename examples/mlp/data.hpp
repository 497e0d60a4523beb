#pragma once

#include <Eigen/Core>
#include <vector>

namespace mlp {

// One sample a row, as the losses of distill expect it.
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

inline constexpr int pixels = 64;
inline constexpr int classes = 10;
inline constexpr int train_size = 1000;

struct Samples {
  Matrix inputs;            // [size, pixels], each 0 ... 1
  std::vector<int> labels;  // [size], each 0 ... 9

  int size() const { return static_cast<int>(labels.size()); }
};

struct Digits {
  Samples train;
  Samples test;
};

// The handwritten digits that are embedded in the program, always split in the same way.
Digits load_digits();

// The samples at the given positions, in that order.
Samples select(const Samples& samples, const std::vector<int>& rows);

// The given rows, in that order.
Matrix select(const Matrix& matrix, const std::vector<int>& rows);

// {0, ..., count - 1}
std::vector<int> iota(int count);

}  // namespace mlp
