#include <doctest/doctest.h>

#include <Eigen/Core>
#include <array>
#include <distill/core/gradient.hpp>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using distill::GradientTarget;
using distill::MatrixView;
using distill::detail::KeptGradient;

}  // namespace

TEST_CASE("a gradient is overwritten unless add_to says otherwise") {
  float data[6] = {};
  const auto plain = distill::detail::gradient_target<MatrixView<float>>(MatrixView{data, 2, 3});
  CHECK(std::is_same_v<std::decay_t<decltype(plain)>, GradientTarget<MatrixView<float>>>);
  CHECK(plain.view.data == data);
  CHECK(!plain.accumulate);
  const auto adding = distill::detail::gradient_target<MatrixView<float>>(distill::add_to(MatrixView{data, 2, 3, 3}));
  CHECK(std::is_same_v<std::decay_t<decltype(adding)>, GradientTarget<MatrixView<float>>>);
  CHECK(adding.view.data == data);
  CHECK(adding.view.rows == 2);
  CHECK(adding.accumulate);
}

TEST_CASE("a gradient may be whatever as_matrix takes") {
  Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> m(4, 5);
  const auto target = distill::detail::gradient_target<MatrixView<double>>(m);
  CHECK(target.view.data == m.data());
  const auto added = [](auto&& grad) {
    return distill::detail::gradient_target<MatrixView<double>>(std::forward<decltype(grad)>(grad));
  };
  CHECK(added(distill::add_to(m)).view.data == m.data());
  CHECK(added(distill::add_to(m.block(1, 1, 2, 2))).view.data == &m(1, 1));
  CHECK(added(distill::add_to(m.block(1, 1, 2, 2))).view.row_stride == 5);
  CHECK(added(distill::add_to(m.block(1, 1, 2, 2))).accumulate);
  Eigen::MatrixXd columns(4, 5);
  CHECK(distill::add_to(distill::samples_in_columns(columns)).view.rows == 5);
}

TEST_CASE("add_to keeps a reference to what owns its memory, and a copy of a view, which outlives the view's name") {
  std::vector<float> numbers(6);
  Eigen::MatrixXf m(2, 3);
  const auto of_view = [&] {
    auto block = m.leftCols(2);
    return distill::add_to(block);
  };
  CHECK(std::is_same_v<decltype(distill::add_to(numbers)), KeptGradient<std::vector<float>&>>);
  CHECK(std::is_same_v<decltype(distill::add_to(m)), KeptGradient<Eigen::MatrixXf&>>);
  CHECK(std::is_same_v<decltype(of_view()), KeptGradient<decltype(m.leftCols(2))>>);
  CHECK(of_view().get().data() == m.data());
}

TEST_CASE("add_to takes a vector where the call does") {
  std::array<double, 3> numbers{};
  Eigen::VectorXf column(4);
  const auto array = distill::detail::row_gradient_target(distill::add_to(numbers));
  CHECK(array.view.data == numbers.data());
  CHECK(array.view.cols == 3);
  CHECK(array.accumulate);
  const auto segment = distill::detail::row_gradient_target(distill::add_to(column.segment(1, 2)));
  CHECK(segment.view.data == column.data() + 1);
  CHECK(segment.view.cols == 2);
  CHECK(!distill::detail::row_gradient_target(column).accumulate);

  using distill::detail::owns_memory;
  CHECK(owns_memory<std::vector<float>>());
  CHECK(owns_memory<std::array<double, 3>>());
  CHECK(owns_memory<Eigen::VectorXf>());
  CHECK(!owns_memory<decltype(column.segment(1, 2))>());
  CHECK(!owns_memory<MatrixView<float>>());
  CHECK(!owns_memory<std::span<float>>());
  CHECK(!owns_memory<std::span<const float>>());
}

TEST_CASE("no gradient is a target of null") {
  const auto target = distill::detail::gradient_target<MatrixView<float>>(distill::detail::NoGradient{});
  CHECK(target.view.data == nullptr);
  CHECK(!target.accumulate);
}

TEST_CASE("what cannot be written to has another type") {
  const float data[6] = {};
  const auto target = distill::detail::gradient_target<MatrixView<float>>(MatrixView{data, 2, 3});
  CHECK(std::is_same_v<std::decay_t<decltype(target)>, GradientTarget<MatrixView<const float>>>);
}
