// docs/adapters/your_own_tensor.md: a host of whose tensors the library knows nothing.
#include <distill/distill.hpp>

#include <cstdint>
#include <stdexcept>
#include <vector>

/// Stands for your trainer's: dense, the last dimension's numbers side by side.
template <class T>
struct Tensor {
  std::vector<int> shape;
  std::vector<T> numbers;

  int size() const { return static_cast<int>(numbers.size()); }
};

template <class T>
struct distill::TensorViews<Tensor<T>> {
  static MatrixView<const T> matrix(const Tensor<T>& x) { return view(x.numbers.data(), x); }
  static MatrixView<T> matrix(Tensor<T>& x) { return view(x.numbers.data(), x); }  // a gradient

  static FeatureMapView<const T> feature_map(const Tensor<T>& x) { return maps(x.numbers.data(), x); }
  static FeatureMapView<T> feature_map(Tensor<T>& x) { return maps(x.numbers.data(), x); }

  static LabelsView<T> labels(const Tensor<T>& x) { return {x.numbers.data(), x.size()}; }

  static MatrixView<const T> row(const Tensor<T>& x) { return {x.numbers.data(), 1, x.size()}; }
  static MatrixView<T> row(Tensor<T>& x) { return {x.numbers.data(), 1, x.size()}; }  // a gradient, rows' losses

 private:
  template <class P>
  static MatrixView<P> view(P* data, const Tensor<T>& x) {
    if (x.shape.size() != 2) throw std::invalid_argument("expected a tensor of rows x columns");
    return {data, x.shape[0], x.shape[1]};
  }
  template <class P>
  static FeatureMapView<P> maps(P* data, const Tensor<T>& x) {
    if (x.shape.size() != 4) throw std::invalid_argument("expected a tensor of N x C x H x W");
    return {data, x.shape[0], x.shape[1], x.shape[2], x.shape[3]};
  }
};

double distilled(const Tensor<float>& student, const Tensor<float>& teacher, const Tensor<std::int64_t>& labels,
                 const Tensor<float>& weights, Tensor<float>& grad) {
  const distill::KnowledgeDistillation kd{.temperature = 2};
  return kd(student, teacher, labels, grad, {.weights = weights});
}

double matched(const Tensor<float>& student, const Tensor<float>& teacher, Tensor<float>& grad) {
  return distill::AttentionTransfer{}(student, teacher, grad);  // 4-D: this loss asks for maps
}

enum class Type { float32, float64 };

/// Stands for a tensor whose type is known at run time only.
struct AnyTensor {
  Type type;
  int rows, columns;
  void* numbers;
};

/// It, where it holds T.
template <class T>
struct Of {
  const AnyTensor& tensor;
};

template <class T>
struct distill::TensorViews<Of<T>> {
  static MatrixView<T> matrix(const Of<T>& x) {
    return {static_cast<T*>(x.tensor.numbers), x.tensor.rows, x.tensor.columns};
  }
};

double distilled(const AnyTensor& student, const AnyTensor& teacher, const AnyTensor& grad) {
  if (teacher.type != student.type || grad.type != student.type) throw std::invalid_argument("expected one type");
  const auto call = [&](auto number) {
    using T = decltype(number);
    return distill::KlDivergence{}(Of<const T>{student}, Of<const T>{teacher}, Of<T>{grad});
  };
  return student.type == Type::float32 ? call(float{}) : call(double{});
}

#include <doctest/doctest.h>

#include "support/data.hpp"

namespace {

const Tensor<float> student{{2, 3}, {1, 2, 3, 0, 1, 0}}, teacher{{2, 3}, {2, 1, 0, 3, 1, 1}};
const auto s = distill::MatrixView{student.numbers.data(), 2, 3}, t = distill::MatrixView{teacher.numbers.data(), 2, 3};
const distill::FeatureMapView s_maps{student.numbers.data(), 1, 2, 3, 1}, t_maps{teacher.numbers.data(), 1, 2, 3, 1};

Tensor<float> empty_gradient() {
  return {{2, 3}, std::vector<float>(6, 42)};
}

}  // namespace

TEST_CASE("a host's tensor as student, teacher, labels, row weights and gradient") {
  const Tensor<std::int64_t> labels{{2}, {0, 2}};
  const Tensor<float> weights{{2}, {1, 0.5f}};
  Tensor<float> grad = empty_gradient(), expected = grad;
  const double value = distilled(student, teacher, labels, weights, grad);
  CHECK(value == distill::KnowledgeDistillation{.temperature = 2}(s, t, labels.numbers,
                                                                  distill::MatrixView{expected.numbers.data(), 2, 3},
                                                                  {.weights = weights.numbers}));
  CHECK(grad.numbers == expected.numbers);

  const distill::KlDivergence kl;
  kl(student, teacher, grad);
  kl(student, std::vector{distill::weighted(teacher, 1)}, distill::add_to(grad));
  kl(s, t, distill::MatrixView{expected.numbers.data(), 2, 3});
  for (std::size_t k = 0; k < 6; ++k) CHECK(grad.numbers[k] == 2 * expected.numbers[k]);
  CHECK(kl(student, distill::log_probabilities(teacher)) == kl(s, distill::log_probabilities(t)));

  const Tensor<std::int64_t> indices{{2, 1}, {0, 1}};
  const Tensor<float> log_p{{2, 1}, {-0.5f, -1}};
  CHECK(distill::TopKKl{}(student, distill::sparse_teacher(indices, log_p)) > 0);

  Tensor<float> probabilities = empty_gradient();
  distill::softmax(student, probabilities);
  CHECK(probabilities.numbers[0] + probabilities.numbers[1] + probabilities.numbers[2] == doctest::Approx(1));
}

TEST_CASE("a host's tensor as maps, and as a number for each channel") {
  const Tensor<float> student_maps{{1, 2, 3, 1}, student.numbers}, teacher_maps{{1, 2, 3, 1}, teacher.numbers};
  Tensor<float> grad{{1, 2, 3, 1}, std::vector<float>(6)}, expected = grad;
  const distill::FeatureMapView g{expected.numbers.data(), 1, 2, 3, 1};
  CHECK(matched(student_maps, teacher_maps, grad) == distill::AttentionTransfer{}(s_maps, t_maps, g));
  CHECK(grad.numbers == expected.numbers);
  matched(student_maps, teacher_maps, grad);
  distill::AttentionTransfer{}(student_maps, teacher_maps, distill::add_to(grad));
  for (std::size_t k = 0; k < 6; ++k) CHECK(grad.numbers[k] == 2 * expected.numbers[k]);

  const Tensor<float> margins{{2}, {-1, -0.5f}};
  CHECK(distill::MarginRelu{}(student_maps, teacher_maps, margins, grad) ==
        distill::MarginRelu{}(s_maps, t_maps, margins.numbers));
}

TEST_CASE("a host's tensor that receives a vector's gradient, and the losses of rows") {
  const Tensor<float> student_maps{{1, 2, 3, 1}, student.numbers}, teacher_maps{{1, 2, 3, 1}, teacher.numbers};
  const Tensor<float> log_scale{{2}, {0.5f, 1}};
  Tensor<float> grad{{1, 2, 3, 1}, std::vector<float>(6)}, grad_log_scale{{2}, {42, 42}};
  std::vector<float> expected(2), maps(6);
  const distill::VariationalInformation vid;
  vid(s_maps, t_maps, log_scale.numbers, distill::FeatureMapView{maps.data(), 1, 2, 3, 1}, expected);
  vid(student_maps, teacher_maps, log_scale, grad, grad_log_scale);
  CHECK(grad_log_scale.numbers == expected);
  vid(student_maps, teacher_maps, log_scale, grad, distill::add_to(grad_log_scale));
  CHECK(grad_log_scale.numbers == std::vector{2 * expected[0], 2 * expected[1]});
  CHECK(grad.numbers == maps);

  Tensor<double> losses{{2}, {42, 42}};
  const double value = distill::KlDivergence{}(student, teacher, {.losses = losses});
  CHECK((losses.numbers[0] + losses.numbers[1]) / 2 == doctest::Approx(value));
}

TEST_CASE("a host's tensors in pairs of layers") {
  Tensor<float> grad = empty_gradient(), sum = empty_gradient(), expected = grad;
  const std::vector pairs{distill::layer_pair(student, teacher, grad, 0.5),
                          distill::layer_pair(teacher, student, distill::add_to(sum), 2)};
  distill::FeatureMatching matching;
  const double value = matching(s, t, distill::MatrixView{expected.numbers.data(), 2, 3}) / 2 + 2 * matching(t, s);
  CHECK(distill::sum_over_layers(matching, pairs) == doctest::Approx(value));
  for (std::size_t k = 0; k < 6; ++k) {
    CHECK(grad.numbers[k] == doctest::Approx(expected.numbers[k] / 2));
    CHECK(sum.numbers[k] == doctest::Approx(42 - 2 * expected.numbers[k]));
  }
  CHECK(distill::sum_over_layers(matching, std::vector{distill::layer_pair(student, teacher, 2)}) ==
        doctest::Approx(2 * matching(s, t)));
  CHECK(distill::sum_over_layers(matching, std::vector{distill::layer_pair(student, teacher, grad, 0)}) == 0);
  CHECK(grad.numbers == std::vector<float>(6, 0));

  // maps, and a callable, which copies what it is passed
  const Tensor<float> student_maps{{1, 2, 3, 1}, student.numbers}, teacher_maps{{1, 2, 3, 1}, teacher.numbers};
  Tensor<float> grad_maps{{1, 2, 3, 1}, std::vector<float>(6)};
  const auto transfer = [](auto of_student, auto of_teacher, auto of_grad, double weight,
                           const distill::RowOptions& options) {
    return distill::AttentionTransfer{.weight = weight}(of_student, of_teacher, of_grad, options);
  };
  const distill::FeatureMapView e{expected.numbers.data(), 1, 2, 3, 1};
  CHECK(
      distill::sum_over_layers(transfer, std::vector{distill::layer_pair(student_maps, teacher_maps, grad_maps, 3)}) ==
      distill::AttentionTransfer{.weight = 3}(s_maps, t_maps, e));
  CHECK(grad_maps.numbers == expected.numbers);

  // handles without a name are kept themselves
  std::vector<float> a = student.numbers, b = teacher.numbers;
  AnyTensor any{Type::float32, 2, 3, a.data()}, other{Type::float32, 2, 3, b.data()}, any_grad = any;
  any_grad.numbers = grad.numbers.data();
  const std::vector handles{distill::layer_pair(Of<const float>{any}, Of<const float>{other}, Of<float>{any_grad}, 1)};
  CHECK(distill::sum_over_layers(matching, handles) ==
        matching(s, t, distill::MatrixView{expected.numbers.data(), 2, 3}));
  CHECK(grad.numbers == expected.numbers);
}

TEST_CASE("what a host's tensor cannot be is its own to say") {
  const Tensor<float> row{{3}, {1, 2, 3}};
  support::check_throws([&] { distill::KlDivergence{}(row, row); }, {"expected a tensor of rows x columns"});
  const Tensor<float> three{{3}, {1, 1, 1}};
  support::check_throws([&] { distill::KlDivergence{}(student, teacher, {.weights = three}); },
                        {"KlDivergence: weights has 3 entries, student has 2 rows"});
}

TEST_CASE("a tensor whose type is known at run time") {
  Tensor<float> a = student, b = teacher, grad = empty_gradient(), expected = grad;
  const double value =
      distilled(AnyTensor{Type::float32, 2, 3, a.numbers.data()}, AnyTensor{Type::float32, 2, 3, b.numbers.data()},
                AnyTensor{Type::float32, 2, 3, grad.numbers.data()});
  CHECK(value == distill::KlDivergence{}(s, t, distill::MatrixView{expected.numbers.data(), 2, 3}));
  CHECK(grad.numbers == expected.numbers);
  std::vector<double> c{1, 2, 3}, d{3, 2, 1}, g(3);
  CHECK(distilled(AnyTensor{Type::float64, 1, 3, c.data()}, AnyTensor{Type::float64, 1, 3, d.data()},
                  AnyTensor{Type::float64, 1, 3, g.data()}) > 0);
}
