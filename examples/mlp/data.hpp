#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace mlp {

// One sample per row, as distill's losses expect it.
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Every image is cut into 4 rows of 4 patches.
inline constexpr int patch_grid = 4;
inline constexpr int patches = patch_grid * patch_grid;

struct Samples {
  Matrix inputs;            // [size, patches * pixels of a patch], each 0 ... 1; in memory [image][patch][pixel]
  std::vector<int> labels;  // [size], each 0 ... classes - 1

  int size() const { return static_cast<int>(labels.size()); }
};

struct Dataset {
  std::string kind;  // what the tables call a class, singular and plural
  std::string kinds;
  int classes;
  Samples train;
  Samples test;

  int patch_pixels() const { return static_cast<int>(train.inputs.cols()) / patches; }
};

struct ImageSize {
  int height;
  int width;
};

// Images given as bytes, row by row, cut into patches, with `white` becoming 1. If a side of the image is not a
// multiple of the grid, the last patches are padded with 0.
Matrix cut_into_patches(std::span<const std::uint8_t> pixels, ImageSize size, float white);

// The handwritten digits embedded in the program, always split in the same way.
Dataset load_digits();

// The samples at the given positions, in that order.
Samples select(const Samples& samples, const std::vector<int>& rows);

// The given rows, in that order.
Matrix select(const Matrix& matrix, const std::vector<int>& rows);

// {0, ..., count - 1}
std::vector<int> iota(int count);

}  // namespace mlp
