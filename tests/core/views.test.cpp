#include <doctest/doctest.h>

#include <Eigen/Core>
#include <array>
#include <cstdint>
#include <distill/core/options.hpp>
#include <distill/core/views.hpp>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "support/data.hpp"

namespace {

using distill::as_labels;
using distill::as_matrix;
using distill::MatrixView;
using distill::samples_in_columns;

template <class T>
using RowMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class View, class T>
void check_view(const View& view, T* data, std::size_t rows, std::size_t cols, std::size_t stride) {
  CHECK(std::is_same_v<View, MatrixView<T>>);
  CHECK(view.data == data);
  CHECK(view.rows == rows);
  CHECK(view.cols == cols);
  CHECK(view.row_stride == stride);
}

/// What Armadillo's matrices look like.
struct Armadillo {
  float* memory;
  const unsigned long long n_rows, n_cols;
  float* colptr(unsigned long long column) { return memory + column * n_rows; }
  const float* colptr(unsigned long long column) const { return memory + column * n_rows; }
};

}  // namespace

TEST_CASE("MatrixView is deduced from what it is given") {
  float data[12] = {};
  const float* read_only = data;
  check_view(MatrixView{data, 3, 4}, data, 3, 4, 4);
  check_view(MatrixView{data, 3u, std::size_t{4}}, data, 3, 4, 4);
  check_view(MatrixView{data, 3L, short{2}, 4}, data, 3, 2, 4);
  check_view(MatrixView{read_only, 3, 4}, read_only, 3, 4, 4);
  const MatrixView<float> view{data, 3, 2, 4};
  CHECK(view.row(2) == data + 8);
  check_view(as_matrix(view), data, 3, 2, 4);
  const MatrixView<float> empty;
  CHECK(empty.data == nullptr);
  CHECK(empty.rows == 0);
}

TEST_CASE("a negative size throws") {
  float data[12] = {};
  support::check_throws([&] { (void)MatrixView{data, -1, 4}; }, {"a size is -1, expected at least 0"});
  support::check_throws([&] { (void)MatrixView{data, 3, -4L}; }, {"a size is -4"});
  support::check_throws([&] { (void)MatrixView{data, 3, 4, std::int8_t{-5}}; }, {"expected at least 0"});
  const int labels[3] = {};
  support::check_throws([&] { (void)distill::LabelsView{labels, -3}; }, {"a size is -3"});
}

TEST_CASE("Eigen's row-major matrices, maps and blocks are seen as they lie") {
  RowMajor<float> m(5, 7);
  const RowMajor<float>& read_only = m;
  check_view(as_matrix(m), m.data(), 5, 7, 7);
  check_view(as_matrix(read_only), read_only.data(), 5, 7, 7);
  auto block = m.block(1, 2, 3, 4);
  check_view(as_matrix(block), m.data() + 9, 3, 4, 7);
  check_view(as_matrix(m.middleRows(2, 2)), m.data() + 14, 2, 7, 7);
  check_view(as_matrix(m.leftCols(3)), m.data(), 5, 3, 7);
  check_view(as_matrix(m.row(3)), m.data() + 21, 1, 7, static_cast<std::size_t>(m.row(3).outerStride()));
  check_view(as_matrix(read_only.topRows(2)), read_only.data(), 2, 7, 7);

  std::vector<double> memory(100);
  Eigen::Map<RowMajor<double>> map(memory.data(), 4, 6);
  check_view(as_matrix(map), memory.data(), 4, 6, 6);
  Eigen::Map<RowMajor<double>, 0, Eigen::OuterStride<>> strided(memory.data(), 4, 6, Eigen::OuterStride<>(11));
  check_view(as_matrix(strided), memory.data(), 4, 6, 11);
  Eigen::Map<const RowMajor<double>, 0, Eigen::OuterStride<>> constant(memory.data(), 4, 6, Eigen::OuterStride<>(11));
  check_view(as_matrix(constant), static_cast<const double*>(memory.data()), 4, 6, 11);

  Eigen::Ref<RowMajor<float>> ref = m.block(0, 1, 5, 3);
  check_view(as_matrix(ref), m.data() + 1, 5, 3, 7);
  Eigen::RowVectorXf vector(9);
  const auto view = as_matrix(vector);
  CHECK(view.data == vector.data());
  CHECK(view.rows == 1);
  CHECK(view.cols == 9);
  CHECK(view.row_stride >= 9);
  Eigen::Matrix<float, 3, 4, Eigen::RowMajor> fixed;
  check_view(as_matrix(fixed), fixed.data(), 3, 4, 4);
  RowMajor<Eigen::half> halves(2, 3);
  check_view(as_matrix(halves), halves.data(), 2, 3, 3);
}

TEST_CASE("column-major memory is seen by its columns") {
  Eigen::MatrixXf m(7, 5);  // 5 samples of 7 classes
  const Eigen::MatrixXf& read_only = m;
  check_view(samples_in_columns(m), m.data(), 5, 7, 7);
  check_view(samples_in_columns(read_only), read_only.data(), 5, 7, 7);
  auto block = m.block(1, 2, 3, 2);
  check_view(samples_in_columns(block), m.data() + 15, 2, 3, 7);
  Eigen::VectorXd vector(9);
  const auto view = samples_in_columns(vector);
  CHECK(view.rows == 1);
  CHECK(view.cols == 9);
  m(3, 4) = 42;
  CHECK(samples_in_columns(m).row(4)[3] == 42);

  float memory[6] = {};
  Armadillo armadillo{memory, 3, 2};
  check_view(samples_in_columns(armadillo), memory, 2, 3, 3);
}

TEST_CASE("an inner stride other than 1 throws") {
  std::vector<float> memory(200);
  using Stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  Eigen::Map<RowMajor<float>, 0, Stride> map(memory.data(), 3, 4, Stride(20, 2));
  support::check_throws([&] { (void)as_matrix(map); }, {"as_matrix: inner stride is 2, expected 1"});
  Eigen::Map<RowMajor<float>, 0, Stride> unit(memory.data(), 3, 4, Stride(20, 1));
  check_view(as_matrix(unit), memory.data(), 3, 4, 20);
  Eigen::MatrixXf m(7, 5);
  support::check_throws([&] { (void)as_matrix(m.row(2)); }, {"inner stride is 7, expected 1"});
  Eigen::Map<Eigen::MatrixXf, 0, Stride> columns(memory.data(), 3, 4, Stride(20, 3));
  support::check_throws([&] { (void)samples_in_columns(columns); },
                        {"samples_in_columns: inner stride is 3, expected 1"});
  Eigen::Map<Eigen::VectorXi, 0, Eigen::InnerStride<>> labels(reinterpret_cast<int*>(memory.data()), 4,
                                                              Eigen::InnerStride<>(2));
  support::check_throws([&] { (void)as_labels(labels); }, {"as_labels: inner stride is 2, expected 1"});
}

TEST_CASE_TEMPLATE("labels of any integer type", L, std::int8_t, std::uint8_t, std::int16_t, std::uint16_t,
                   std::int32_t, std::uint32_t, std::int64_t, std::uint64_t, long, unsigned long long, char) {
  std::vector<L> vector{1, 2, 3};
  const std::array<L, 3> array{1, 2, 3};
  const auto check = [](const auto& view, const L* data) {
    CHECK(std::is_same_v<std::decay_t<decltype(view)>, distill::LabelsView<L>>);
    CHECK(view.data == data);
    CHECK(view.size == 3);
  };
  check(as_labels(vector), vector.data());
  check(as_labels(array), array.data());
  check(as_labels(std::span<L>(vector)), vector.data());
  check(as_labels(std::span<const L>(vector)), vector.data());
  check(as_labels(distill::LabelsView{vector.data(), 3}), vector.data());
  check(as_labels(distill::LabelsView<L>{array.data(), 3}), array.data());
}

TEST_CASE("labels in Eigen's vectors") {
  const Eigen::VectorXi column = Eigen::VectorXi::LinSpaced(4, 0, 3);
  const Eigen::Matrix<std::int64_t, 1, Eigen::Dynamic> row = Eigen::Matrix<std::int64_t, 1, Eigen::Dynamic>::Zero(5);
  CHECK(as_labels(column).data == column.data());
  CHECK(as_labels(column).size == 4);
  CHECK(as_labels(row).size == 5);
  CHECK(as_labels(column.segment(1, 2)).data == column.data() + 1);
  const Eigen::MatrixXi matrix = Eigen::MatrixXi::Zero(2, 3);
  support::check_throws([&] { (void)as_labels(matrix); }, {"as_labels: a 2 x 3 matrix, expected a vector"});
}

TEST_CASE("feature maps: the order N x C x H x W is the default, N x H x W x C has a function") {
  float data[240] = {};
  const distill::FeatureMapView first{data, 2, 3, 4, 10};
  CHECK(first.positions() == 40);
  CHECK(first.position_stride == 1);
  CHECK(first.channel_stride == 40);
  CHECK(first.batch_stride == 120);
  const auto last = distill::nhwc(data, 2, 4, 10, 3);
  CHECK(last.channels == 3);
  CHECK(last.height == 4);
  CHECK(last.width == 10);
  CHECK(last.position_stride == 3);
  CHECK(last.channel_stride == 1);
  CHECK(last.batch_stride == 120);
  const distill::FeatureMapView sequence{data, 2, 3, 40};
  CHECK(sequence.positions() == 40);
  CHECK(std::is_same_v<std::remove_const_t<decltype(sequence)>, distill::FeatureMapView<float>>);
}

TEST_CASE("numbers for each row: a vector as it is, or a pointer and a length") {
  using Weights = distill::PerRow<const float>;
  const auto check = [](const Weights& weights, const float* data, std::size_t size) {
    CHECK(weights);
    CHECK(weights.data() == data);
    CHECK(weights.size() == size);
  };
  const std::vector<float> vector{1, 2};
  std::vector<float> changeable{1, 2};
  const std::array<float, 3> array{};
  const Eigen::VectorXf column = Eigen::VectorXf::Zero(4);
  Eigen::RowVectorXf row = Eigen::RowVectorXf::Zero(5);
  check(vector, vector.data(), 2);
  check(changeable, changeable.data(), 2);
  check(array, array.data(), 3);
  check(std::span(vector), vector.data(), 2);
  check(column, column.data(), 4);
  check(row.segment(1, 3), row.data() + 1, 3);
  check({vector.data(), 2}, vector.data(), 2);
  check({vector.data(), vector.size()}, vector.data(), 2);
  check(std::vector<float>{}, nullptr, 0);
  CHECK(!Weights{});

  std::vector<double> losses(2);
  const distill::RowOptions options{.weights = vector, .losses = losses};
  CHECK(options.weights.data() == vector.data());
  CHECK(options.losses.data() == losses.data());
  CHECK(!distill::RowOptions{}.weights);
  CHECK(!distill::RowOptions{}.losses);

  Eigen::MatrixXf matrix(2, 2);
  support::check_throws([&] { check(matrix, nullptr, 4); },
                        {"row weights or losses: a 2 x 2 matrix, expected a vector"});
  support::check_throws([&] { check(matrix.row(0), nullptr, 2); }, {"row weights or losses: inner stride is 2"});
  support::check_throws([&] { check({vector.data(), -1}, nullptr, 0); }, {"a size is -1"});
}

TEST_CASE("a vector is a matrix of one row") {
  std::vector<double> numbers{1, 2, 3};
  Eigen::VectorXd column = Eigen::VectorXd::Zero(4);
  CHECK(distill::detail::as_row(numbers).rows == 1);
  CHECK(distill::detail::as_row(numbers).cols == 3);
  CHECK(distill::detail::as_row(column).data == column.data());
  CHECK(distill::detail::as_row(column).cols == 4);
  CHECK(distill::detail::as_row(distill::MatrixView{numbers.data(), 1, 2}).cols == 2);
  Eigen::MatrixXd matrix(2, 2);
  support::check_throws([&] { distill::detail::as_row(matrix); }, {"as_row: a 2 x 2 matrix, expected a vector"});
}
