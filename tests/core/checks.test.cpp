#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <distill/core/checks.hpp>
#include <limits>
#include <vector>

#include "support/data.hpp"

namespace {

using distill::LabelsView;
using distill::MatrixView;
using distill::detail::overlap;

/// By comparing every element with every other.
template <class A, class B>
bool overlap_by_definition(const MatrixView<A>& a, const MatrixView<B>& b) {
  const auto address = [](const auto& m, std::size_t i, std::size_t j) {
    return reinterpret_cast<std::uintptr_t>(m.row(i) + j);
  };
  for (std::size_t i = 0; i < a.rows; ++i) {
    for (std::size_t j = 0; j < a.cols; ++j) {
      for (std::size_t k = 0; k < b.rows; ++k) {
        for (std::size_t l = 0; l < b.cols; ++l) {
          const std::uintptr_t x = address(a, i, j), y = address(b, k, l);
          if (x < y + sizeof(B) && y < x + sizeof(A)) return true;
        }
      }
    }
  }
  return false;
}

}  // namespace

TEST_CASE("overlap is found exactly, in both directions") {
  std::vector<float> memory(64);
  std::size_t wrong = 0, overlapping = 0, separate = 0;
  for (std::size_t rows_a = 1; rows_a <= 3; ++rows_a) {
    for (std::size_t cols_a = 1; cols_a <= 3; ++cols_a) {
      for (std::size_t stride_a = cols_a; stride_a <= 6; ++stride_a) {
        const MatrixView<float> a{memory.data() + 20, rows_a, cols_a, stride_a};
        for (std::size_t rows_b = 1; rows_b <= 3; ++rows_b) {
          for (std::size_t cols_b = 1; cols_b <= 3; ++cols_b) {
            for (std::size_t stride_b = cols_b; stride_b <= 6; ++stride_b) {
              for (std::size_t offset = 0; offset < 40; ++offset) {
                const MatrixView<float> b{memory.data() + offset, rows_b, cols_b, stride_b};
                const bool expected = overlap_by_definition(a, b);
                ++(expected ? overlapping : separate);
                wrong += overlap(a, b) == expected ? 0 : 1;
                wrong += overlap(b, a) == expected ? 0 : 1;
              }
            }
          }
        }
      }
    }
  }
  CHECK(wrong == 0);
  CHECK(overlapping > 1000);
  CHECK(separate > 1000);
}

TEST_CASE("overlap of interleaved columns, of unequal types, of nothing") {
  std::vector<float> memory(64);
  CHECK(!overlap(MatrixView{memory.data(), 4, 3, 8}, MatrixView{memory.data() + 3, 4, 5, 8}));
  CHECK(overlap(MatrixView{memory.data(), 4, 4, 8}, MatrixView{memory.data() + 3, 4, 5, 8}));
  CHECK(overlap(MatrixView{memory.data(), 4, 3, 8}, MatrixView{memory.data() + 3, 4, 6, 8}));
  CHECK(!overlap(MatrixView{memory.data(), 0, 3}, MatrixView{memory.data(), 4, 3}));
  auto* halves = reinterpret_cast<distill::half*>(memory.data());
  CHECK(!overlap(MatrixView{memory.data(), 2, 1, 2}, MatrixView{halves + 2, 2, 2, 4}));
  CHECK(overlap(MatrixView{memory.data(), 2, 1, 2}, MatrixView{halves + 3, 2, 2, 4}));
}

TEST_CASE("the very same memory passes where that is allowed, and only there") {
  float data[12] = {};
  const MatrixView<float> grad{data, 3, 4};
  const MatrixView<const float> same{data, 3, 4};
  distill::detail::require_no_overlap("f", "grad", grad, "student", same, true);
  support::check_throws([&] { distill::detail::require_no_overlap("f", "grad", grad, "teacher", same, false); },
                        {"f: grad overlaps teacher, expected separate memory"});
  const auto* halves = reinterpret_cast<const distill::half*>(data);
  support::check_throws(
      [&] {
        distill::detail::require_no_overlap("f", "grad", grad, "student", MatrixView{halves, 3, 4}, true);
      },
      {"grad overlaps student, expected separate memory or exactly the same"});
  // one row is the same memory whatever the stride
  distill::detail::require_no_overlap("f", "grad", MatrixView{data, 1, 4}, "student", MatrixView{data, 1, 4, 9}, true);
}

TEST_CASE("a matrix's size must fit into memory") {
  float data[12] = {};
  const std::size_t most = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
  const auto check = [&](std::size_t rows, std::size_t cols, std::size_t stride) {
    distill::detail::require_view("f", "m", MatrixView{data, rows, cols, stride});
  };
  check(3, 4, 4);
  check(1, most / 4, most / 4);
  support::check_throws([&] { check(2, 4, most / 4); }, {"f: m has 2 rows of stride ", "fits into memory"});
  support::check_throws([&] { check(most, most, most); }, {"fits into memory"});
  support::check_throws([&] { check(1, most, most); }, {"fits into memory"});
  check(0, 4, 1);  // no rows: nothing to say
}

TEST_CASE("labels are compared by value") {
  using distill::detail::is_ignored;
  CHECK(is_ignored(-100, -100));
  CHECK(!is_ignored(std::uint64_t{0} - 100, -100));
  CHECK(!is_ignored(std::uint8_t{156}, -100));
  CHECK(is_ignored(std::int8_t{-100}, -100));
  CHECK(is_ignored(std::uint8_t{255}, 255));
  CHECK(!is_ignored(std::int8_t{-1}, 255));
  CHECK(is_ignored(std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::min()));
}

TEST_CASE("labels in range pass, others throw") {
  const auto check = [](const auto& labels, std::size_t cols, std::int64_t ignored) {
    distill::detail::require_labels("f", distill::as_labels(labels), labels.size(), cols, ignored);
  };
  check(std::vector<std::uint8_t>{0, 255}, 256, -100);
  check(std::vector<int>{0, -100, 4}, 5, -100);
  support::check_throws(
      [&] {
        check(std::vector<std::uint8_t>{0, 255}, 255, -100);
      },
      {"f: labels[1] is 255, expected 0 to 254 or ignore_label (-100)"});
  support::check_throws([&] { check(std::vector<std::int8_t>{-1}, 200, -100); }, {"labels[0] is -1"});
  support::check_throws([&] { check(std::vector<std::int64_t>{std::int64_t{1} << 32}, 5, -100); },
                        {"labels[0] is 4294967296"});
}

TEST_CASE("feature maps: strides keep elements apart, whatever their order") {
  float data[48] = {};
  using Maps = distill::FeatureMapView<float>;
  const auto check = [](const Maps& maps) { distill::detail::require_view("Loss", "maps", maps); };
  check({data, 2, 3, 2, 4});
  check(distill::nhwc(data, 2, 2, 4, 3));
  check({data, 2, 1, 8, 1, 3, 0, 24});  // a single channel's stride does not matter
  check({data, 1, 3, 8, 1, 1, 8, 0});   // nor a single sample's
  for (const Maps& bad :
       {Maps{data, 2, 3, 8, 1, 1, 7, 24}, Maps{data, 2, 3, 8, 1, 3, 3, 24}, Maps{data, 2, 3, 8, 1, 0, 8, 24},
        Maps{data, 2, 3, 8, 1, 1, 8, 23}, Maps{data, 2, 3, 8, 1, 2, 1, 24}}) {
    support::check_throws([&] { check(bad); },
                          {"Loss: maps has strides ", "expected strides that keep its elements apart"});
  }
}

TEST_CASE("feature maps that interleave without touching do not overlap") {
  float data[96] = {};
  const auto check = [](const auto& grad, const auto& input, bool in_place = false) {
    distill::detail::require_no_overlap("Loss", "grad", grad, "input", input, in_place);
  };
  using Maps = distill::FeatureMapView<float>;
  const Maps low{data, 2, 2, 8, 1, 1, 8, 48}, high{data + 16, 2, 2, 8, 1, 1, 8, 48};  // channels of N x 6 x 8
  check(low, Maps{data + 32, 2, 2, 8, 1, 1, 8, 48});
  check(low, high);
  const Maps last_low{data, 2, 2, 8, 1, 6, 1, 48}, last_high{data + 2, 2, 4, 8, 1, 6, 1, 48};  // of N x 8 x 6
  check(last_low, last_high);
  support::check_throws([&] { check(last_low, Maps{data + 1, 2, 4, 8, 1, 6, 1, 48}); }, {"Loss: grad overlaps input"});
  support::check_throws([&] { check(low, low); }, {"expected separate memory"});
  check(low, low, true);
  support::check_throws([&] { check(low, last_low, true); },
                        {"grad overlaps input"});  // the same memory, another order
}
