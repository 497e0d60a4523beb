// The C++ of README.md and docs, as it stands there (check.cmake compares), run on a few numbers.
#include <distill/distill.hpp>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include <doctest/doctest.h>
#include <distill/features/projected.hpp>

namespace {

constexpr int rows = 3, classes = 4;

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Rows numbers(int cols, int seed) {
  Rows x(rows, cols);
  for (Eigen::Index i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>((i * 7 + seed * 5) % 11) / 5 - 1;
  return x;
}

}  // namespace

TEST_CASE("README.md and docs/index.md: the call") {
  const Rows student_rows = numbers(classes, 1), teacher_rows = numbers(classes, 2);
  const float *student_logits = student_rows.data(), *teacher_logits = teacher_rows.data();
  Rows gradient(rows, classes), expected(rows, classes);
  float* student_grad = gradient.data();
  const std::vector<int> labels{3, 0, 1};
  const std::vector<float> w{1, 0, 1};
  auto pool = [](std::size_t n, distill::LoopBody body) {
    while (n > 0) body(--n);
  };

  // clang-format off
  distill::KnowledgeDistillation loss{.temperature = 4, .alpha = 0.9};           // C++20; in C++17: loss.alpha = 0.9;
  distill::MatrixView student{student_logits, rows, classes};                    // or any row-major Eigen matrix
  distill::MatrixView teacher{teacher_logits, rows, classes};
  distill::MatrixView grad{student_grad, rows, classes};

  double value = loss(student, teacher, labels, grad);                           // value and d value / d student
  loss(student, teacher, labels, distill::add_to(grad));                         // add to what grad holds
  loss(student, teacher, labels, grad, {.weights = w, .executor = pool});        // std::vector<float> w: 0 ignores a row; your threads
  // clang-format on

  CHECK(value == loss(student_rows, teacher_rows, labels, expected));
  CHECK(gradient.row(1).isZero(0));
  CHECK(gradient.row(0).isApprox(1.5f * expected.row(0)));
}

TEST_CASE("docs/calling.md: options, and a batch in parts") {
  const Rows student = numbers(classes, 1), teacher = numbers(classes, 2);
  Rows grad(rows, classes), whole(rows, classes);
  const std::vector<int> labels{3, 0, 1};
  const std::vector<float> w{1, 0, 1};
  std::vector<double> losses(rows);
  const distill::KnowledgeDistillation loss;
  {
    double value = loss(student, teacher, labels, grad, {.weights = w, .losses = losses});
    CHECK(value == doctest::Approx((losses[0] + losses[2]) / 2));
  }
  // clang-format off
  double value = 0;
  for (int begin = 0; begin < rows; begin += 2) {
    const int count = std::min(2, rows - begin);
    value += loss(student.middleRows(begin, count), teacher.middleRows(begin, count),
                  distill::LabelsView{labels.data() + begin, count}, grad.middleRows(begin, count),
                  {.total_weight = double(rows)});
  }
  // clang-format on
  CHECK(value == doctest::Approx(loss(student, teacher, labels, whole)));
  CHECK(grad == whole);
}

TEST_CASE("README.md: several layers") {
  const Rows student1 = numbers(5, 1), teacher1 = numbers(5, 2), student2 = numbers(7, 3), teacher2 = numbers(7, 4);
  Rows grad1(rows, 5), grad2(rows, 7);
  // clang-format off
  const std::vector layers{distill::layer_pair(student1, teacher1, grad1, 0.5), distill::layer_pair(student2, teacher2, grad2, 1)};
  double value = distill::sum_over_layers(distill::FeatureMatching{}, layers);
  // clang-format on
  const distill::FeatureMatching matching;
  CHECK(value == doctest::Approx(0.5 * matching(student1, teacher1) + matching(student2, teacher2)));
}

TEST_CASE("docs/losses/logit_options.md: standardised logits") {
  const Rows student = numbers(classes, 1), teacher = 3 * student;
  Rows grad(rows, classes);
  // clang-format off
  distill::KlDivergence{.temperature = 4, .logits = {.standardize = distill::Standardize::unbiased}}(student, teacher, grad);
  // clang-format on
  CHECK(grad.isZero(1e-6f));
}

TEST_CASE("docs/losses/projected.md: a hint") {
  const Rows student = numbers(2, 1), teacher = numbers(5, 2);
  const Rows weights = Rows::Identity(5, 2);
  const Eigen::RowVectorXf bias = Eigen::RowVectorXf::Zero(5);
  Rows grad_student(rows, 2), grad_weights(5, 2);
  Eigen::RowVectorXf grad_bias(5);
  // clang-format off
  distill::Projected hint{distill::FeatureMatching{}};
  hint(student, distill::linear_projection(weights, bias), teacher,
       grad_student, distill::linear_projection(grad_weights, grad_bias));
  // clang-format on
  const Rows difference = student * weights.transpose() - teacher;
  CHECK(grad_bias.isApprox(difference.colwise().sum() * 2 / static_cast<float>(difference.size())));
}

TEST_CASE("docs/losses/variational_information.md: behind a linear layer") {
  const Rows s = numbers(2, 1), t = numbers(5, 2);
  const Rows weights = Rows::Identity(5, 2);
  const Eigen::RowVectorXf bias = Eigen::RowVectorXf::Zero(5);
  Rows grad_student(rows, 2), grad_weights(5, 2);
  Eigen::RowVectorXf grad_bias(5);
  const std::vector<float> log_scale(5, 1);
  std::vector<float> grad_log_scale(5);
  // clang-format off
  distill::Projected projected{[&](auto student, auto teacher, auto gradient, const auto& options) {
    const auto maps = [](auto units) { return distill::FeatureMapView{units.data, units.rows, units.cols, 1, 1}; };
    return distill::VariationalInformation{}(maps(student), maps(teacher), log_scale, maps(gradient), grad_log_scale, options);
  }};
  // clang-format on
  const double value = projected(s, distill::linear_projection(weights, bias), t, grad_student,
                                 distill::linear_projection(grad_weights, grad_bias));
  const double variance = std::log1p(std::exp(1.0)) + distill::VariationalInformation{}.epsilon;
  const Rows difference = s * weights.transpose() - t;
  CHECK(value ==
        doctest::Approx(
            (difference.squaredNorm() / static_cast<float>(difference.size()) / variance + std::log(variance)) / 2));
  CHECK(grad_log_scale[0] != 0);
}

TEST_CASE("docs/losses/logit_options.md: a teacher of another temperature") {
  const Rows student = numbers(classes, 1), teacher = numbers(classes, 2);
  Rows grad(rows, classes), log_p(rows, classes), p(rows, classes), q(rows, classes);
  distill::softmax(teacher, p, 4);
  // clang-format off
  const auto softened = (teacher * (2.0f / 4.0f)).eval();
  distill::KlDivergence{.temperature = 2}(student, softened, grad);
  // clang-format on
  distill::softmax(student, q, 2);
  CHECK(grad.isApprox(2 * (q - p) / static_cast<float>(rows), 1e-5f));
  // clang-format off
  distill::log_softmax(teacher, log_p, 4);
  distill::KlDivergence{}(student, distill::log_probabilities(log_p), grad);
  // clang-format on
  distill::softmax(student, q, 1);
  CHECK(grad.isApprox((q - p) / static_cast<float>(rows), 1e-5f));
}

TEST_CASE("docs/losses/kl_divergence.md: KL of each pixel") {
  constexpr std::size_t n = 2, h = 3, w = 5;
  constexpr std::size_t pixel_count = h * w, size = n * classes * pixel_count;
  std::vector<float> student(size), teacher(size), grad(size), student_planes(size), teacher_planes(size),
      grad_planes(size);
  const auto plane_index = [](std::size_t k) {  // of element k of N x H x W x C in N x C x H x W
    const std::size_t c = k % classes, pixel = k / classes % pixel_count, sample = k / classes / pixel_count;
    return (sample * classes + c) * pixel_count + pixel;
  };
  for (std::size_t k = 0; k < size; ++k) {
    student_planes[plane_index(k)] = student[k] = static_cast<float>(k * 7 % 11) / 3;
    teacher_planes[plane_index(k)] = teacher[k] = static_cast<float>(k * 5 % 13) / 4;
  }
  const float *student_nhwc = student.data(), *teacher_nhwc = teacher.data();
  float *grad_nhwc = grad.data(), *student_nchw = student_planes.data(), *teacher_nchw = teacher_planes.data(),
        *grad_nchw = grad_planes.data();
  // clang-format off
  distill::MatrixView rows_of_student{student_nhwc, n * h * w, classes}, rows_of_teacher{teacher_nhwc, n * h * w, classes};
  distill::MatrixView rows_of_grad{grad_nhwc, n * h * w, classes};
  distill::KlDivergence{.temperature = 4}(rows_of_student, rows_of_teacher, rows_of_grad);

  const auto pixels = [&](float* nchw) {
    return distill::FeatureMapView{nchw, n, h * w, classes, 1, h * w, 1, classes * h * w};
  };
  distill::ChannelWise{.temperature = 4}(pixels(student_nchw), pixels(teacher_nchw), pixels(grad_nchw));
  // clang-format on
  CHECK(distill::ChannelWise{.temperature = 4}(pixels(student_nchw), pixels(teacher_nchw)) ==
        doctest::Approx(distill::KlDivergence{.temperature = 4}(rows_of_student, rows_of_teacher)));
  for (std::size_t k = 0; k < size; ++k) {
    CHECK(grad_planes[plane_index(k)] == doctest::Approx(static_cast<double>(grad[k])).epsilon(1e-5));
  }
}
