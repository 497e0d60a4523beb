#include <doctest/doctest.h>

#include <Eigen/Core>
#include <distill/core/gradient.hpp>
#include <type_traits>

namespace {

using distill::GradientTarget;
using distill::MatrixView;

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
  CHECK(distill::add_to(m).view.data == m.data());
  CHECK(distill::add_to(m.block(1, 1, 2, 2)).view.row_stride == 5);
  CHECK(distill::add_to(m.block(1, 1, 2, 2)).accumulate);
  Eigen::MatrixXd columns(4, 5);
  CHECK(distill::add_to(distill::samples_in_columns(columns)).view.rows == 5);
}

TEST_CASE("no gradient is a target of null") {
  const auto target = distill::detail::gradient_target<MatrixView<float>>(distill::detail::NoGradient{});
  CHECK(target.view.data == nullptr);
  CHECK(!target.accumulate);
}

TEST_CASE("what cannot be written to is told by its type") {
  const float data[6] = {};
  const auto target = distill::detail::gradient_target<MatrixView<float>>(MatrixView{data, 2, 3});
  CHECK(std::is_same_v<std::decay_t<decltype(target)>, GradientTarget<MatrixView<const float>>>);
}
