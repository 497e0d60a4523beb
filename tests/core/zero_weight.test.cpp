// A factor of 0: what it multiplies is absent, even where that is infinite. A loss of weight 0 is 0 whatever its rows
// hold.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <distill/distill.hpp>
#include <distill/features/projected.hpp>
#include <distill/relations/contrastive.hpp>
#include <distill/relations/correlation_congruence.hpp>
#include <distill/relations/linear_cka.hpp>
#include <distill/relations/probabilistic_transfer.hpp>
#include <distill/relations/relational_angle.hpp>
#include <distill/relations/relational_distance.hpp>
#include <distill/relations/similarity_preserving.hpp>
#include <limits>
#include <string>
#include <vector>

namespace {

using namespace distill;

constexpr float infinite = std::numeric_limits<float>::infinity(),
                not_a_number = std::numeric_limits<float>::quiet_NaN();

/// Three rows; in the second one side excludes what the other has, or a number is NaN.
struct Rows {
  static constexpr std::size_t rows = 3;
  std::size_t cols;
  std::vector<float> student, teacher, grad;
  std::vector<int> labels{1, 1, 1};

  Rows(std::size_t n, float student_number, float teacher_number) : cols(n) {
    for (std::size_t i = 0; i < rows * cols; ++i) {
      student.push_back(static_cast<float>(i * 7 % 5));
      teacher.push_back(static_cast<float>(i * 3 % 4));
      grad.push_back(77);
    }
    student[cols + 1] = student_number;
    teacher[cols + 1] = teacher_number;
  }
  MatrixView<const float> s() const { return {student.data(), rows, cols}; }
  MatrixView<const float> t() const { return {teacher.data(), rows, cols}; }
  MatrixView<float> g() { return {grad.data(), rows, cols}; }
};

/// call(grad, options) of a loss of weight 0 is 0, with all of the gradient; added to, the gradient stays as it is.
template <class Call>
void check_off(const std::string& name, Rows& x, const Call& call) {
  CAPTURE(name);
  CAPTURE(x.cols);
  CHECK(call(add_to(x.g()), RowOptions{}) == 0);
  for (const float g : x.grad) REQUIRE(g == 77);
  CHECK(call(x.g(), RowOptions{}) == 0);
  for (const float g : x.grad) REQUIRE(g == 0);
  std::vector<double> losses(Rows::rows);
  CHECK(call(x.g(), RowOptions{.losses = losses}) == 0);
  for (const float g : x.grad) REQUIRE(g == 0);
  CHECK(!(std::abs(losses[1]) < 1e30));  // it is as bad as it was
  x.grad.assign(x.grad.size(), 77);
  CHECK(call(add_to(x.g()), RowOptions{.losses = losses}) == 0);
  for (const float g : x.grad) REQUIRE(g == 77);
}

template <class Loss>
void check_loss_off(const std::string& name, Rows& x, Loss loss) {
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::per_element}) {
    loss.weight = 0;
    loss.reduction = reduction;
    check_off(name, x, [&](const auto& grad, const RowOptions& options) { return loss(x.s(), x.t(), grad, options); });
  }
}

}  // namespace

TEST_CASE("a loss of weight 0 is 0 where a row's loss is infinite or NaN") {
  for (const std::size_t n : {3, 200}) {
    Rows student_excludes(n, -infinite, 2), teacher_excludes(n, 2, -infinite), broken(n, not_a_number, 2);
    for (Rows* x : {&student_excludes, &broken}) {
      check_loss_off("KlDivergence", *x, KlDivergence{});
      check_loss_off("SymmetricKl", *x, SymmetricKl{});
      for (const double alpha : {0.0, 0.5}) {
        check_off("KnowledgeDistillation", *x, [&](const auto& grad, const RowOptions& options) {
          return KnowledgeDistillation{.alpha = alpha, .weight = 0}(x->s(), x->t(), x->labels, grad, options);
        });
      }
      check_off("CrossEntropy", *x, [&](const auto& grad, const RowOptions& options) {
        return CrossEntropy{.weight = 0}(x->s(), x->labels, grad, options);
      });
    }
    check_loss_off("ReverseKl", teacher_excludes, ReverseKl{});
    check_loss_off("Dist", broken, Dist{});
    check_loss_off("FeatureMatching", broken, FeatureMatching{});
  }
  Rows broken(4, not_a_number, 2);
  const auto maps = [](const auto& m) { return FeatureMapView{m.data, m.rows, 2, 2}; };
  const auto grad_maps = [&](const auto& grad) {
    const auto target = detail::gradient_target<MatrixView<float>>(grad);
    return GradientTarget<FeatureMapView<float>>{maps(target.view), target.accumulate};
  };
  check_off("AttentionTransfer", broken, [&](const auto& grad, const RowOptions& options) {
    return AttentionTransfer{.weight = 0}(maps(broken.s()), maps(broken.t()), grad_maps(grad), options);
  });
  check_off("PearsonFeatures", broken, [&](const auto& grad, const RowOptions& options) {
    return PearsonFeatures{.weight = 0}(maps(broken.s()), maps(broken.t()), grad_maps(grad), options);
  });
}

TEST_CASE("so is a batch's, and the gradient of parameters") {
  Rows broken(4, not_a_number, 2);
  const auto view = [](auto& x) { return MatrixView{x.data(), x.size() / 4, 4}; };
  const std::vector<float> weights(16, 0.5f);
  std::vector<float> grad_weights(16, 77);
  CHECK(Projected{FeatureMatching{.weight = 0}}(broken.s(), linear_projection(view(weights)), broken.t(), broken.g(),
                                                linear_projection(view(grad_weights))) == 0);
  for (const float g : grad_weights) CHECK(g == 0);
  for (const float g : broken.grad) CHECK(g == 0);
  std::vector<double> losses(Rows::rows);
  const RowOptions with_losses{.losses = losses};
  const auto project = [&](const auto& grad, const auto& grad_parameters) {
    return Projected{FeatureMatching{.weight = 0}}(broken.s(), linear_projection(view(weights)), broken.t(), grad,
                                                   grad_parameters, with_losses);
  };
  grad_weights.assign(16, 77);
  CHECK(project(add_to(broken.g()), add_to(linear_projection(view(grad_weights)))) == 0);
  for (const float g : grad_weights) CHECK(g == 77);
  for (const float g : broken.grad) CHECK(g == 0);
  CHECK(project(broken.g(), linear_projection(view(grad_weights))) == 0);
  for (const float g : grad_weights) CHECK(g == 0);
  for (const float g : broken.grad) CHECK(g == 0);
  broken.grad.assign(broken.grad.size(), 77);
  check_loss_off("SimilarityPreserving", broken, SimilarityPreserving{});
  check_loss_off("ProbabilisticTransfer", broken, ProbabilisticTransfer{});
  check_loss_off("RelationalDistance", broken, RelationalDistance{});
  check_loss_off("RelationalAngle", broken, RelationalAngle{});
  check_loss_off("CorrelationCongruence", broken, CorrelationCongruence{});
  check_loss_off("Contrastive", broken, Contrastive{});
  check_loss_off("LinearCka", broken, LinearCka{});

  const FeatureMapView<const float> s{broken.student.data(), 3, 4, 1}, t{broken.teacher.data(), 3, 4, 1};
  const FeatureMapView<float> g{broken.grad.data(), 3, 4, 1};
  const std::vector<float> log_scale(4, 1);
  std::vector<float> grad_log_scale(4, 77);
  CHECK(VariationalInformation{.weight = 0}(s, t, log_scale, g, grad_log_scale) == 0);
  for (const float x : grad_log_scale) CHECK(x == 0);
}

TEST_CASE("T^2 that is rounded to 0 leaves no infinite term") {
  Rows student_excludes(3, -infinite, 2), teacher_excludes(3, 2, -infinite);
  CHECK(ReverseKl{.temperature = 1e-200}(teacher_excludes.s(), teacher_excludes.t()) == 0);
  CHECK(SymmetricKl{.temperature = 1e-200}(student_excludes.s(), student_excludes.t()) == 0);
  CHECK(KlDivergence{.temperature = 1e-200}(student_excludes.s(), student_excludes.t()) == 0);
}
