// Row weights and their sum over a larger batch, of the losses that support::check_score_loss and check_hidden_loss do
// not see.
#include <doctest/doctest.h>

#include <Eigen/Core>
#include <cstdint>
#include <distill/attention/attention_matrix.hpp>
#include <distill/attention/attention_transfer.hpp>
#include <distill/attention/value_relation.hpp>
#include <distill/core/layers.hpp>
#include <distill/core/token_mask.hpp>
#include <distill/features/feature_matching.hpp>
#include <distill/features/projected.hpp>
#include <distill/features/variational_information.hpp>
#include <distill/logits/cross_entropy.hpp>
#include <distill/logits/kl_divergence.hpp>
#include <distill/logits/knowledge_distillation.hpp>
#include <distill/logits/sampled_token_reverse_kl.hpp>
#include <string>
#include <vector>

#include "support/data.hpp"
#include "support/hidden_loss.hpp"

using distill::MatrixView;
using distill::Reduction;
using distill::RowOptions;

namespace {

template <class Loss, class Invoke>
void check(const std::string& name, const Loss& loss, std::size_t cols, const Invoke& invoke) {
  for (const support::Scalar scalar : {support::Scalar::float32, support::Scalar::float64}) {
    CAPTURE(name);
    support::check_row_options(name, support::score_loss(name, loss, invoke).call,
                               support::make_problem(scalar, support::Kind::random, 5, cols, 3), true);
  }
}

}  // namespace

TEST_CASE("a batch in parts: the losses of rows of scores") {
  const auto of_teacher = [](const auto& l, auto s, auto t, auto, auto g, auto options) { return l(s, t, g, options); };
  const auto with_labels = [](const auto& l, auto s, auto t, auto labels, auto g, auto options) {
    return l(s, t, labels, g, options);
  };
  for (const std::size_t cols : {10, 200}) {  // short rows and long ones
    check("KlDivergence", distill::KlDivergence{.temperature = 2}, cols, of_teacher);
    check("KnowledgeDistillation", distill::KnowledgeDistillation{}, cols, with_labels);
    check("CrossEntropy", distill::CrossEntropy{}, cols,
          [](const auto& l, auto s, auto, auto labels, auto g, auto options) { return l(s, labels, g, options); });
    check("SampledTokenReverseKl", distill::SampledTokenReverseKl{}, cols,
          [](const auto& l, auto s, auto, auto labels, auto g, auto options) {
            const std::vector<double> log_p(5, -2);
            return l(s, distill::sampled_tokens(labels, MatrixView{log_p.data(), 1, labels.size}), g, options);
          });
  }
}

TEST_CASE("a batch in parts: features and maps") {
  check("FeatureMatching", distill::FeatureMatching{}, 12,
        [](const auto& l, auto s, auto t, auto, auto g, auto options) { return l(s, t, g, options); });
  check("AttentionTransfer", distill::AttentionTransfer{}, 12,
        [](const auto& l, auto s, auto t, auto, auto g, auto options) {
          return l(support::as_maps(s, 3, 2, 2), support::as_maps(t, 3, 2, 2), support::as_maps(g, 3, 2, 2), options);
        });
}

TEST_CASE("a batch in parts: ignored labels do not count") {
  const support::Scores<float, float> scores(support::Kind::random, 4, 10);
  const std::vector<int> labels{3, -100, 0, 9};
  const distill::KnowledgeDistillation loss;
  support::Matrix<float> whole(4, 10), parts(4, 10);
  const double value = loss(scores.student.view(), scores.teacher.view(), labels, whole.view());
  double sum = 0;
  for (const std::size_t begin : {0, 2}) {
    sum += loss(MatrixView{scores.student.view().row(begin), 2, 10},
                MatrixView{scores.teacher.view().row(begin), 2, 10}, distill::LabelsView{labels.data() + begin, 2},
                MatrixView{parts.view().row(begin), 2, 10}, {.total_weight = 3});
  }
  CHECK(sum == doctest::Approx(value).epsilon(1e-14));
  CHECK(parts.same_bits(whole));

  const auto s = scores.student.view(), t = scores.teacher.view();
  const std::vector<double> log_p(4, -2);
  const auto check_own = [&](const char* name, const auto& call) {  // of three rows
    call(RowOptions{.total_weight = 3});
    support::check_throws([&] { call(RowOptions{.total_weight = 2}); },
                          {name, "total_weight is 2, expected 0 or at least this call's own sum of weights, 3"});
  };
  check_own("KnowledgeDistillation", [&](const RowOptions& options) { loss(s, t, labels, options); });
  check_own("CrossEntropy", [&](const RowOptions& options) { distill::CrossEntropy{}(s, labels, options); });
  check_own("SampledTokenReverseKl", [&](const RowOptions& options) {
    distill::SampledTokenReverseKl{}(s, distill::sampled_tokens(labels, MatrixView{log_p.data(), 1, 4}), options);
  });
}

TEST_CASE("a batch in parts: gradients of parameters add up") {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Matrix student = Matrix::Random(6, 4), teacher = Matrix::Random(6, 4), weights = Matrix::Random(4, 4);
  const Eigen::VectorXd log_scale = Eigen::VectorXd::Random(2);
  Matrix whole = Matrix::Zero(6, 4), parts = whole, grad_weights = Matrix::Zero(4, 4), sum_weights = grad_weights;
  Eigen::VectorXd grad_scale(2), sum_scale = Eigen::VectorXd::Zero(2);

  const distill::Projected<distill::FeatureMatching> projected;
  const auto project = [&](auto begin, auto count, auto& grad, auto& parameters, const RowOptions& options) {
    return projected(student.middleRows(begin, count), distill::linear_projection(weights),
                     teacher.middleRows(begin, count), grad.middleRows(begin, count),
                     distill::add_to(distill::linear_projection(parameters)), options);
  };
  const double value = project(0, 6, whole, grad_weights, {});
  const double sum =
      project(0, 2, parts, sum_weights, {.total_weight = 6}) + project(2, 4, parts, sum_weights, {.total_weight = 6});
  CHECK(sum == doctest::Approx(value).epsilon(1e-13));
  CHECK(parts.isApprox(whole, 1e-13));
  CHECK(sum_weights.isApprox(grad_weights, 1e-13));

  const auto maps = [](auto& m, auto begin, auto count) {
    return distill::FeatureMapView{m.data() + 4 * begin, count, 2, 2};
  };
  const distill::VariationalInformation information;
  const auto inform = [&](auto begin, auto count, auto& grad, auto& parameters, const RowOptions& options) {
    return information(maps(student, begin, count), maps(teacher, begin, count), log_scale, maps(grad, begin, count),
                       distill::add_to(MatrixView{parameters.data(), 1, 2}), options);
  };
  grad_scale.setZero();
  const double bits = inform(0, 6, whole, grad_scale, {});
  const double bits_of_parts =
      inform(0, 2, parts, sum_scale, {.total_weight = 6}) + inform(2, 4, parts, sum_scale, {.total_weight = 6});
  CHECK(bits_of_parts == doctest::Approx(bits).epsilon(1e-13));
  CHECK(parts == whole);
  CHECK(sum_scale.isApprox(grad_scale, 1e-13));
}

TEST_CASE("with a mask, samples differ in their terms: per_element has no divisor for a part, mean has") {
  const std::vector<float> student(2 * 9, 1), teacher(2 * 9, 2);
  const distill::FeatureMapView s{student.data(), 2, 1, 3, 3}, t{teacher.data(), 2, 1, 3, 3};
  const std::vector<std::uint8_t> live{1, 1, 1, 1, 1, 0};
  const distill::TokenMask mask{live.data(), 2, 3};
  const auto check_mask = [&](const char* name, auto loss) {
    support::check_throws([&] { loss(s, t, mask, {.total_weight = 4}); },
                          {name, "total_weight is 4, expected 0 with a mask and Reduction::per_element"});
    loss.reduction = Reduction::mean;
    CHECK(loss(s, t, mask, {.total_weight = 4}) == doctest::Approx(loss(s, t, mask) / 2));
  };
  check_mask("AttentionMatrix", distill::AttentionMatrix{});
  check_mask("AttentionMatrix", distill::AttentionMatrix{.causal = true});

  const distill::FeatureMapView s_values{student.data(), 2, 3, 3}, t_values{teacher.data(), 2, 3, 3};
  distill::ValueRelation relation{.relation_heads = 1};
  support::check_throws([&] { relation(s_values, t_values, mask, {.total_weight = 4}); },
                        {"ValueRelation", "total_weight is 4, expected 0 with a mask"});
}

TEST_CASE("row weights and losses: as many as rows, and not null") {
  const support::Scores<float, float> scores(support::Kind::random, 2, 10);
  support::Matrix<float> grad(2, 10);
  const distill::KlDivergence kl;
  const auto throws = [&](const RowOptions& options, const char* message) {
    support::check_throws([&] { kl(scores.student.view(), scores.teacher.view(), grad.view(), options); },
                          {"KlDivergence: ", message});
  };
  const std::vector<float> one(1, 1), none;
  std::vector<double> three(3, 42);
  throws({.weights = one}, "weights has 1 entries, student has 2 rows");
  throws({.weights = none}, "weights has 0 entries, student has 2 rows");
  throws({.weights = {static_cast<const float*>(nullptr), 2}}, "weights is null, expected 2 entries");
  throws({.losses = three}, "losses has 3 entries, student has 2 rows");
  throws({.losses = {static_cast<double*>(nullptr), 2}}, "losses is null, expected 2 entries");
  CHECK(three == std::vector<double>(3, 42));
  const MatrixView<const float> empty{nullptr, 0, 10};
  CHECK(kl(empty, empty, {.weights = none, .losses = {static_cast<double*>(nullptr), 0}}) == 0);
  CHECK(kl(scores.student.view(), scores.teacher.view(), {.weights = std::vector<float>{0, 1}}) ==
        kl(MatrixView{scores.student.view().row(1), 1, 10}, MatrixView{scores.teacher.view().row(1), 1, 10}));

  const distill::FeatureMapView<const float> maps{scores.student.view().data, 2, 1, 2, 2};
  support::check_throws([&] { distill::AttentionTransfer{}(maps, maps, {.weights = one}); },
                        {"AttentionTransfer: weights has 1 entries, student has 2 samples"});
  const std::vector layers{distill::layer_pair(scores.student.view(), scores.teacher.view(), 1)};
  support::check_throws([&] { distill::sum_over_layers(distill::FeatureMatching{}, layers, {.losses = three}); },
                        {"sum_over_layers: losses is given, expected none"});
}
