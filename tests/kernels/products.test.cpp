#include <doctest/doctest.h>

#include <cstddef>
#include <distill/kernels/products/products.hpp>
#include <vector>

namespace {

std::vector<double> numbered(std::size_t n) {
  std::vector<double> square(n * n);
  for (std::size_t k = 0; k < square.size(); ++k) square[k] = static_cast<double>(k + 1);
  return square;
}

constexpr std::size_t sizes[] = {1, 2, 31, 32, 33, 64, 100};  // around the blocks of 32

}  // namespace

TEST_CASE("mirror_lower: the upper triangle becomes the lower one's") {
  for (const std::size_t n : sizes) {
    CAPTURE(n);
    const std::vector<double> before = numbered(n);
    std::vector<double> square = before;
    distill::kernels::mirror_lower(square.data(), n);
    bool all = true;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) all = all && square[i * n + j] == before[i > j ? i * n + j : j * n + i];
    }
    CHECK(all);
  }
}

TEST_CASE("add_transpose: each number and its mirror image") {
  for (const std::size_t n : sizes) {
    CAPTURE(n);
    const std::vector<double> before = numbered(n);
    std::vector<double> square = before;
    distill::kernels::add_transpose(square.data(), n);
    bool all = true;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) all = all && square[i * n + j] == before[i * n + j] + before[j * n + i];
    }
    CHECK(all);
  }
}
