// Armadillo's matrices hold a sample a column; mlpack's networks hold such matrices.
#include <armadillo>
#include <cstddef>
#include <distill/features/feature_matching.hpp>
#include <distill/logits/kl_divergence.hpp>
#include <distill/logits/knowledge_distillation.hpp>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include "../../examples/mlpack/knowledge_distillation_loss.hpp"
#include "support/outcome.hpp"

using distill::samples_in_columns;

namespace {

template <class T>
arma::Mat<T> random_matrix(arma::uword rows, arma::uword cols, int seed) {
  arma::arma_rng::set_seed(static_cast<arma::arma_rng::seed_type>(seed));
  return arma::randn<arma::Mat<T>>(rows, cols);
}

template <class View, class T>
void check_view(const View& view, T* data, std::size_t samples, std::size_t size, std::size_t stride) {
  static_assert(std::is_same_v<View, distill::MatrixView<T>>);
  CHECK(view.data == data);
  CHECK(view.rows == samples);
  CHECK(view.cols == size);
  CHECK(view.row_stride == stride);
}

}  // namespace

TEST_CASE_TEMPLATE("Armadillo's matrices and their parts are seen as they lie", T, float, double) {
  arma::Mat<T> m(7, 5);
  const arma::Mat<T>& read_only = m;
  check_view(samples_in_columns(m), m.memptr(), 5, 7, 7);
  check_view(samples_in_columns(read_only), read_only.memptr(), 5, 7, 7);
  check_view(samples_in_columns(m.cols(1, 3)), m.colptr(1), 3, 7, 7);
  check_view(samples_in_columns(m.head_rows(6)), m.memptr(), 5, 6, 7);
  check_view(samples_in_columns(m.submat(2, 1, 4, 3)), m.colptr(1) + 2, 3, 3, 7);
  check_view(samples_in_columns(read_only.col(4)), read_only.colptr(4), 1, 7, 7);
  arma::Col<T> sample(9);
  check_view(samples_in_columns(sample), sample.memptr(), 1, 9, 9);
  typename arma::Mat<T>::template fixed<3, 4> fixed;
  check_view(samples_in_columns(fixed), fixed.memptr(), 4, 3, 3);
  arma::Mat<T> alias(m.memptr(), 7, 2, false, true);  // as mlpack's layers hold theirs
  check_view(samples_in_columns(alias), m.memptr(), 2, 7, 7);
}

TEST_CASE_TEMPLATE("a loss on Armadillo's matrices is that on the same memory", T, float, double) {
  const auto student = random_matrix<T>(10, 6, 1);
  const auto teacher = random_matrix<T>(10, 6, 2);
  const arma::Row<arma::uword> labels{0, 9, 3, 3, 1, 7};
  arma::Mat<T> grad(10, 6);
  std::vector<T> expected(60);
  const distill::KnowledgeDistillation kd;
  const double loss = kd(samples_in_columns(student), samples_in_columns(teacher), labels, samples_in_columns(grad));
  CHECK(loss == kd(distill::MatrixView{student.memptr(), 6, 10}, distill::MatrixView{teacher.memptr(), 6, 10},
                   std::vector<int>{0, 9, 3, 3, 1, 7}, distill::MatrixView{expected.data(), 6, 10}));
  CHECK(std::equal(grad.begin(), grad.end(), expected.begin()));

  // Two halves of a batch, each a part of the matrix
  arma::Mat<T> halves(10, 6, arma::fill::zeros);
  distill::KnowledgeDistillation half = kd;
  half.weight = 0.5;
  half(samples_in_columns(student.cols(0, 2)), samples_in_columns(teacher.cols(0, 2)), std::vector{0, 9, 3},
       distill::add_to(samples_in_columns(halves.cols(0, 2))));
  half(samples_in_columns(student.cols(3, 5)), samples_in_columns(teacher.cols(3, 5)), std::vector{3, 1, 7},
       distill::add_to(samples_in_columns(halves.cols(3, 5))));
  CHECK(arma::approx_equal(grad, halves, "absdiff", static_cast<T>(1e-6)));
}

TEST_CASE("row weights and losses in Armadillo's vectors") {
  const arma::fmat student(10, 3, arma::fill::randu), teacher(10, 3, arma::fill::randu);
  const distill::KlDivergence kl;
  const auto value = [&](const auto& weights, auto& losses) {
    return kl(samples_in_columns(student), samples_in_columns(teacher), {.weights = weights, .losses = losses});
  };
  std::vector<double> expected(3), losses(3);
  const double of_vector = value(std::vector<float>{1, 0, 2}, expected);
  CHECK(value(arma::fvec{1, 0, 2}, losses) == of_vector);
  CHECK(losses == expected);
  arma::vec of_rows(3);
  CHECK(value(arma::frowvec{1, 0, 2}, of_rows) == of_vector);
  CHECK(of_rows(2) == expected[2]);
  CHECK_THROWS_AS(value(arma::fvec{1, 0}, losses), std::invalid_argument);
}

TEST_CASE("docs/adapters/mlpack.md: the call") {
  // clang-format off
  arma::fmat student, teacher, grad;                    // classes x samples
  arma::Row<arma::uword> labels;
  const distill::KnowledgeDistillation kd;
  // clang-format on
  student = random_matrix<float>(10, 3, 1);
  teacher = random_matrix<float>(10, 3, 2);
  labels = {0, 9, 3};
  grad.set_size(arma::size(student));

  double loss = kd(samples_in_columns(student), samples_in_columns(teacher), labels, samples_in_columns(grad));

  CHECK(loss > 0);
  CHECK(arma::abs(arma::sum(grad)).max() < 1e-6f);
}

TEST_CASE("a transposed batch does not fit") {
  const auto student = random_matrix<float>(10, 6, 1);
  const auto teacher = random_matrix<float>(6, 10, 2);
  support::check_throws([&] { distill::FeatureMatching{}(samples_in_columns(student), samples_in_columns(teacher)); },
                        {"FeatureMatching", "teacher"});
}

TEST_CASE("an output layer as mlpack has them: its gradient is that of its value") {
  const arma::mat teacher = random_matrix<double>(5, 4, 3);
  const arma::mat target = arma::join_cols(teacher, arma::mat{{4, 0, 2, 2}});
  arma::mat input = random_matrix<double>(5, 4, 4);
  KnowledgeDistillationLoss<> layer(2, 0.6);
  arma::mat gradient;
  layer.Backward(input, target, gradient);
  REQUIRE(gradient.n_rows == 5);
  REQUIRE(gradient.n_cols == 4);
  constexpr double step = 1e-5;
  for (arma::uword i = 0; i < input.n_elem; ++i) {
    const double at = input[i];
    input[i] = at + step;
    const double above = layer.Forward(input, target);
    input[i] = at - step;
    const double below = layer.Forward(input, target);
    input[i] = at;
    CHECK(gradient[i] == doctest::Approx((above - below) / (2 * step)).epsilon(1e-6));
  }

  // The sum over a batch is the sum of its samples'
  double sum = 0;
  for (arma::uword n = 0; n < 4; ++n) sum += layer.Forward(input.col(n), target.col(n));
  CHECK(layer.Forward(input, target) == doctest::Approx(sum));
}

TEST_CASE("an output layer of float matrices") {
  const arma::fmat target = arma::join_cols(random_matrix<float>(5, 4, 3), arma::fmat{{4, 0, 2, 2}});
  const arma::fmat input = random_matrix<float>(5, 4, 4);
  KnowledgeDistillationLoss<arma::fmat> layer;
  arma::fmat gradient;
  layer.Backward(input, target, gradient);
  const arma::frowvec sums = arma::sum(gradient);
  CHECK(layer.Forward(input, target) > 0);
  CHECK(arma::abs(sums).max() < 1e-5f);
}
