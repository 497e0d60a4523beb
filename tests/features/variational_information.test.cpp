#include <doctest/doctest.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <distill/features/variational_information.hpp>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "support/data.hpp"
#include "support/golden.hpp"
#include "support/hidden_loss.hpp"
#include "support/threads.hpp"

namespace {

using distill::FeatureMapView;
using distill::MatrixView;
using distill::Reduction;
using distill::VariationalInformation;
using support::number;
using support::stored;

constexpr double infinity = std::numeric_limits<double>::infinity();

long double variance_of(long double log_scale, double epsilon) {
  return std::log(1 + std::exp(log_scale)) + epsilon;
}

/// Exact in two bytes.
std::vector<double> log_scales(std::size_t channels) {
  std::vector<double> result;
  for (std::size_t c = 0; c < channels; ++c) result.push_back(static_cast<double>(c % 5) - 1.5);
  return result;
}

/// Of samples of channels x positions, with `last` of positions x channels.
void check_formula(std::size_t channels, std::size_t height, std::size_t width, bool last) {
  CAPTURE(channels);
  CAPTURE(last);
  const VariationalInformation vid{.epsilon = 0.25};
  const std::vector<double> log_scale = log_scales(channels);
  const auto maps = [=](const auto& view) {
    return last ? support::as_nhwc(view, channels, height, width) : support::as_maps(view, channels, height, width);
  };
  auto checked = support::hidden_loss("VariationalInformation", vid,
                                      [=](const auto& loss, auto s, auto t, auto g, const auto& options) {
                                        std::vector<double> grad_log_scale(channels);
                                        return loss(maps(s), maps(t), log_scale, maps(g), grad_log_scale, options);
                                      });
  const std::size_t positions = height * width;
  checked.student_size = checked.teacher_size = checked.sum_terms = channels * positions;
  checked.is_nonnegative = false;
  checked.sample = [=](const reference::Row& student, const reference::Row& teacher) {
    long double sum = 0;
    for (std::size_t k = 0; k < student.size(); ++k) {
      const long double v = variance_of(log_scale[last ? k % channels : k / positions], vid.epsilon);
      sum += ((student[k] - teacher[k]) * (student[k] - teacher[k]) / v + std::log(v)) / 2;
    }
    return sum;
  };
  support::check_hidden_loss(checked);
}

constexpr std::size_t batch = 3, channels = 21, height = 3, width = 4, positions = height * width;

template <class S>
struct Maps {
  std::vector<S> student, teacher, grad;
  Maps() : grad(batch * channels * positions, stored<S>(42)) {
    for (std::size_t k = 0; k < grad.size(); ++k) {
      student.push_back(stored<S>(static_cast<double>(k * 7 % 31) / 8 - 2));
      teacher.push_back(stored<S>(static_cast<double>(k * 5 % 23) / 8 - 2));
    }
  }
  static FeatureMapView<S> first(std::vector<S>& v) { return {v.data(), batch, channels, height, width}; }
  static FeatureMapView<S> last(std::vector<S>& v) { return distill::nhwc(v.data(), batch, height, width, channels); }
};

template <class S, class P>
void check_log_scale(double tolerance) {
  Maps<S> maps;
  std::vector<P> log_scale, grad(channels, stored<P>(42));
  for (const double x : log_scales(channels)) log_scale.push_back(stored<P>(x));
  std::vector<float> weights{0.5f, 0, 2};
  const VariationalInformation vid{.weight = -0.5, .reduction = Reduction::mean};
  vid(maps.first(maps.student), maps.first(maps.teacher), log_scale, maps.first(maps.grad), grad, {.weights = weights});

  const auto loss = [&](std::size_t channel, long double step) {
    long double sum = 0;
    for (std::size_t i = 0; i < batch; ++i) {
      for (std::size_t k = 0; k < channels * positions; ++k) {
        const std::size_t c = k / positions, at = i * channels * positions + k;
        const long double d = number(maps.student[at]) - number(maps.teacher[at]);
        const long double v = variance_of(number(log_scale[c]) + (c == channel ? step : 0), vid.epsilon);
        sum += static_cast<long double>(weights[i]) * (d * d / v + std::log(v)) / 2;
      }
    }
    return vid.weight * sum / 2.5L;
  };
  for (std::size_t c = 0; c < channels; ++c) {
    CAPTURE(c);
    const long double expected = (loss(c, 1e-5L) - loss(c, -1e-5L)) / 2e-5L;
    CHECK(static_cast<double>(number(grad[c])) == doctest::Approx(static_cast<double>(expected)).epsilon(tolerance));
  }
}

}  // namespace

TEST_CASE("VariationalInformation: value and gradient are the formula's") {
  for (const bool last : {false, true}) {
    check_formula(3, 2, 4, last);
    check_formula(1, 3, 7, last);
    check_formula(19, 1, 1, last);
    check_formula(9, 3, 3, last);
  }
}

TEST_CASE("VariationalInformation: the gradient of log_scale") {
  check_log_scale<double, double>(1e-7);
  check_log_scale<float, float>(1e-6);
  check_log_scale<float, double>(1e-6);
  check_log_scale<distill::half, distill::half>(1e-3);
  check_log_scale<distill::bfloat16, float>(1e-6);
}

TEST_CASE("VariationalInformation: the gradient of log_scale is added to, and is the same in every order and layout") {
  Maps<float> maps, last;
  for (std::size_t k = 0; k < maps.student.size(); ++k) {
    const std::size_t n = k / (channels * positions), c = k / positions % channels, p = k % positions;
    const std::size_t to = (n * positions + p) * channels + c;
    last.student[to] = maps.student[k];
    last.teacher[to] = maps.teacher[k];
  }
  const std::vector<double> log_scale = log_scales(channels);
  const VariationalInformation vid;
  std::vector<double> grad(channels, 42), other(channels, 42);
  const double value = vid(maps.first(maps.student), maps.first(maps.teacher), log_scale, maps.first(maps.grad), grad);
  CHECK(vid(maps.first(maps.student), maps.first(maps.teacher), log_scale) == doctest::Approx(value).epsilon(1e-6));
  vid(last.last(last.student), last.last(last.teacher), log_scale, last.last(last.grad), other);
  for (std::size_t c = 0; c < channels; ++c) CHECK(other[c] == doctest::Approx(grad[c]).epsilon(1e-6));

  vid(last.last(last.student), maps.first(maps.teacher), log_scale, maps.first(maps.grad), other);
  for (std::size_t c = 0; c < channels; ++c) CHECK(other[c] == doctest::Approx(grad[c]).epsilon(1e-6));

  other = grad;
  vid(maps.first(maps.student), maps.first(maps.teacher), log_scale, maps.first(maps.grad),
      distill::add_to(MatrixView{other.data(), 1, channels}));
  for (std::size_t c = 0; c < channels; ++c) CHECK(other[c] == doctest::Approx(2 * grad[c]).epsilon(1e-12));
  other = grad;
  vid(maps.first(maps.student), maps.first(maps.teacher), log_scale, maps.first(maps.grad), distill::add_to(other));
  for (std::size_t c = 0; c < channels; ++c) CHECK(other[c] == doctest::Approx(2 * grad[c]).epsilon(1e-12));

  // in place
  vid(maps.first(maps.student), maps.first(maps.teacher), log_scale, maps.first(maps.student), other);
  CHECK(other == grad);
  CHECK(maps.student == maps.grad);
}

TEST_CASE("VariationalInformation: both gradients are the same by any executor") {
  const std::size_t samples = 200;  // blocks for three threads
  std::vector<float> student, teacher, grad(samples * channels * positions), other(grad.size());
  for (std::size_t k = 0; k < grad.size(); ++k) {
    student.push_back(static_cast<float>(k * 7 % 31) / 8 - 2);
    teacher.push_back(static_cast<float>(k * 5 % 23) / 8 - 2);
  }
  const auto maps = [&](std::vector<float>& v) { return FeatureMapView{v.data(), samples, channels, height, width}; };
  const std::vector<double> log_scale = log_scales(channels);
  std::vector<double> grad_log_scale(channels), other_log_scale(channels);
  const VariationalInformation vid;
  const double value = vid(maps(student), maps(teacher), log_scale, maps(grad), grad_log_scale);
  const support::Backwards backwards;
  const support::Threads threads{3};
  for (const distill::Executor executor : {distill::Executor(backwards), distill::Executor(threads)}) {
    distill::RowOptions options;
    options.executor = executor;
    CHECK(vid(maps(student), maps(teacher), log_scale, maps(other), other_log_scale, options) == value);
    CHECK(other_log_scale == grad_log_scale);
    CHECK(other == grad);
  }
}

TEST_CASE("VariationalInformation: at the best variance the gradient of log_scale is 0") {
  Maps<double> maps;
  std::vector<double> log_scale(channels), grad(channels, 42);
  for (std::size_t c = 0; c < channels; ++c) {
    double squares = 0;
    for (std::size_t i = 0; i < batch; ++i) {
      for (std::size_t p = 0; p < positions; ++p) {
        const std::size_t at = (i * channels + c) * positions + p;
        squares += (maps.student[at] - maps.teacher[at]) * (maps.student[at] - maps.teacher[at]);
      }
    }
    log_scale[c] = std::log(std::expm1(squares / (batch * positions) - 1e-5));
  }
  VariationalInformation{}(maps.first(maps.student), maps.first(maps.teacher), log_scale, maps.first(maps.grad), grad);
  for (const double g : grad) CHECK(std::abs(g) < 1e-15);
}

TEST_CASE("VariationalInformation: log_scale far out") {
  std::vector<float> student{1, 2}, teacher{2, 2}, grad(2, 42);
  const auto maps = [](auto& v) { return FeatureMapView{v.data(), 1, 2, 1, 1}; };
  std::vector<double> log_scale{800, -800}, grad_log_scale(2, 42);
  const double value = VariationalInformation{}(maps(student), maps(teacher), log_scale, maps(grad), grad_log_scale);
  CHECK(value == doctest::Approx((1 / 800.00001 + std::log(800.00001) + std::log(1e-5)) / 4).epsilon(1e-12));
  CHECK(grad[0] == doctest::Approx(-1 / 800.00001 / 2));
  CHECK(grad[1] == 0);
  CHECK(grad_log_scale[0] == doctest::Approx((1 / 800.00001 - 1 / 800.00001 / 800.00001) / 4));
  CHECK(grad_log_scale[1] == 0);
}

TEST_CASE("VariationalInformation: differences whose squares overflow or vanish") {
  for (const bool last : {false, true}) {
    CAPTURE(last);
    std::vector<float> student(40, 1), teacher(40, 1), grad(40, 42);
    const auto maps = [&](auto& v) {
      return last ? distill::nhwc(v.data(), 1, 1, 4, 10) : FeatureMapView{v.data(), 1, 10, 1, 4};
    };
    const std::vector<double> log_scale(10, 0);
    std::vector<double> grad_log_scale(10, 42);
    const double v = std::log(2.0) + 1e-5, logs = 20 * std::log(v);
    const VariationalInformation vid{.reduction = Reduction::sum};
    CHECK(vid(maps(student), maps(teacher), log_scale, maps(grad), grad_log_scale) == doctest::Approx(logs));
    CHECK(grad == std::vector<float>(40, 0));
    student[13] = 1e30f;
    CHECK(vid(maps(student), maps(teacher), log_scale, maps(grad), grad_log_scale) ==
          doctest::Approx(1e60 / v / 2).epsilon(1e-6));
    CHECK(grad[13] == doctest::Approx(1e30 / v).epsilon(1e-6));
    CHECK(grad[12] == 0);
    student[13] = 1e-30f;
    teacher[13] = 0;
    vid(maps(student), maps(teacher), log_scale, maps(grad), grad_log_scale);
    CHECK(grad[13] == doctest::Approx(1e-30 / v).epsilon(1e-6));
  }
}

TEST_CASE("VariationalInformation: a sum that double cannot hold is an infinite loss with a finite gradient") {
  std::vector<double> student{1e200, 1, 1, -2}, teacher(4), log_scale{0, 0}, grad(4, 42), grad_log_scale(2, 42);
  const double v = static_cast<double>(variance_of(0, 0.5));
  const auto check = [&](const auto& maps) {
    const VariationalInformation vid{.epsilon = 0.5, .reduction = Reduction::sum};
    CHECK(vid(maps(student), maps(teacher), log_scale, maps(grad), grad_log_scale) == infinity);
    CHECK(vid(maps(student), maps(teacher), log_scale) == infinity);
    for (std::size_t k = 0; k < 4; ++k) CHECK(grad[k] == doctest::Approx(student[k] / v));
    CHECK(grad_log_scale[0] == -infinity);
    CHECK(std::isfinite(grad_log_scale[1]));
  };
  check([](auto& numbers) { return FeatureMapView{numbers.data(), 1, 2, 1, 2}; });
  check([](auto& numbers) { return distill::nhwc(numbers.data(), 1, 1, 2, 2); });
}

TEST_CASE("VariationalInformation: a slope that float cannot hold leaves equal features without a gradient") {
  const std::vector<double> log_scale{-80, 0};
  for (const bool last : {false, true}) {
    std::vector<float> student{1, 2, 3, 4}, grad(4, 42);
    const auto maps = [&](auto& numbers) {
      return last ? distill::nhwc(numbers.data(), 1, 1, 2, 2) : FeatureMapView{numbers.data(), 1, 2, 1, 2};
    };
    const VariationalInformation vid{.epsilon = 0, .weight = 1e5};
    std::vector<double> grad_log_scale(2, 42);
    CHECK(std::isfinite(vid(maps(student), maps(student), log_scale, maps(grad), grad_log_scale)));
    CHECK(grad == std::vector<float>(4, 0));
    std::vector<float> teacher = student;
    teacher[0] = 2;
    vid(maps(student), maps(teacher), log_scale, maps(grad), grad_log_scale);
    CHECK(grad[0] < -1e38f);
    CHECK(grad[3] == 0);
  }
}

TEST_CASE("VariationalInformation: a sample with NaN makes all of log_scale's gradient NaN, unless it is ignored") {
  for (const float poison : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Maps<float> maps;
    maps.student[channels * positions + 5] = poison;
    const std::vector<double> log_scale = log_scales(channels);
    std::vector<double> grad(channels, 42);
    VariationalInformation{}(maps.first(maps.student), maps.first(maps.teacher), log_scale, maps.first(maps.grad),
                             grad);
    for (const double g : grad) CHECK(std::isnan(g));
    const std::vector<float> weights{1, 0, 1};
    VariationalInformation{}(maps.first(maps.student), maps.first(maps.teacher), log_scale, maps.first(maps.grad), grad,
                             {.weights = weights});
    for (const double g : grad) CHECK(std::isfinite(g));
  }
}

TEST_CASE("VariationalInformation: no samples give gradients of 0") {
  std::vector<double> grad(2, 42);
  const FeatureMapView<float> none{nullptr, 0, 2, 3, 3};
  CHECK(VariationalInformation{}(none, none, std::vector<double>(2), none, grad) == 0);
  CHECK(grad == std::vector<double>(2, 0));
}

TEST_CASE("VariationalInformation: parameters that do not fit throw") {
  std::vector<float> student(12, 1), teacher(12, 2), grad(12, 42);
  std::vector<float> grad_log_scale(3, 42);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto maps = [](auto& v) { return FeatureMapView{v.data(), 1, 3, 2, 2}; };
  const auto call = [&](const VariationalInformation& vid, const auto& log_scale, auto&& grad_parameters) {
    return [&maps, &student, &teacher, &grad, vid, log_scale, grad_parameters] {
      auto target = grad_parameters;
      vid(maps(student), maps(teacher), log_scale, maps(grad), target);
    };
  };
  const MatrixView target{grad_log_scale.data(), 1, 3};
  using Row = std::vector<float>;
  support::check_throws(call({.epsilon = -1}, Row(3), target), {"VariationalInformation: epsilon is -1"});
  support::check_throws(call({.epsilon = infinity}, Row(3), target), {"epsilon is inf"});
  support::check_throws(call({}, Row{0, nan, 0}, target), {"log_scale[1] is nan, expected a finite number"});
  support::check_throws(call({.epsilon = 0}, Row{0, 0, -100}, target),
                        {"log_scale[2] is -100, which gives a variance of 3.72", "expected at least 1.17"});
  support::check_throws(call({}, Row(2), target), {"log_scale is 1 x 2, expected 1 x 3"});
  support::check_throws(call({}, Row(3), MatrixView{grad_log_scale.data(), 1, 2}),
                        {"grad_log_scale is 1 x 2, expected 1 x 3"});
  support::check_throws(call({}, MatrixView{grad_log_scale.data(), 1, 3}, target),
                        {"grad_log_scale overlaps log_scale"});
  support::check_throws(call({}, Row(3), MatrixView{student.data() + 4, 1, 3}), {"grad_log_scale overlaps student"});
  support::check_throws(call({}, Row(3), MatrixView{teacher.data() + 4, 1, 3}), {"grad_log_scale overlaps teacher"});
  support::check_throws(call({}, Row(3), MatrixView{grad.data() + 4, 1, 3}), {"grad overlaps grad_log_scale"});
  CHECK(grad == std::vector<float>(12, 42));
  CHECK(grad_log_scale == std::vector<float>(3, 42));
}

namespace {

using Products = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Products matrix_of(const nlohmann::json& json, Eigen::Index rows, Eigen::Index cols) {
  const auto data = json.at("data").get<std::vector<double>>();
  return Eigen::Map<const Products>(data.data(), rows, cols);
}

/// Channels x positions pooled to squares of `to`, as one product with the transposed of this.
Products pooling(Eigen::Index from, Eigen::Index to) {
  Products result = Products::Zero(to * to, from * from);
  const Eigen::Index n = from / to;
  for (Eigen::Index y = 0; y < from; ++y) {
    for (Eigen::Index x = 0; x < from; ++x) result(y / n * to + x / n, y * from + x) = 1.0 / static_cast<double>(n * n);
  }
  return result;
}

}  // namespace

// The published regressor: three products with rectifiers between them, sample by sample.
TEST_CASE("VariationalInformation: golden vectors") {
  for (const auto& golden : support::golden_cases("vid.repdistiller")) {
    CAPTURE(golden.at("name").get<std::string>());
    const auto& inputs = golden.at("inputs");
    const auto shape = [&](const char* name) { return inputs.at(name).at("shape").get<std::vector<Eigen::Index>>(); };
    const Eigen::Index samples = shape("student")[0], student_channels = shape("student")[1],
                       student_side = shape("student")[2], teacher_channels = shape("teacher")[1],
                       teacher_side = shape("teacher")[2], middle = shape("w1")[0];
    const Eigen::Index side = std::min(student_side, teacher_side), pixels = side * side;
    const Products student = matrix_of(inputs.at("student"), samples * student_channels, student_side * student_side) *
                             pooling(student_side, side).transpose();
    Products teacher = matrix_of(inputs.at("teacher"), samples * teacher_channels, teacher_side * teacher_side) *
                       pooling(teacher_side, side).transpose();
    const Products w1 = matrix_of(inputs.at("w1"), middle, student_channels),
                   w2 = matrix_of(inputs.at("w2"), middle, middle),
                   w3 = matrix_of(inputs.at("w3"), teacher_channels, middle);
    const auto log_scale = inputs.at("log_scale").at("data").get<std::vector<double>>();

    Products h1(samples * middle, pixels), h2(samples * middle, pixels), mean(samples * teacher_channels, pixels);
    for (Eigen::Index i = 0; i < samples; ++i) {
      h1.middleRows(i * middle, middle) = (w1 * student.middleRows(i * student_channels, student_channels)).cwiseMax(0);
      h2.middleRows(i * middle, middle) = (w2 * h1.middleRows(i * middle, middle)).cwiseMax(0);
      mean.middleRows(i * teacher_channels, teacher_channels) = w3 * h2.middleRows(i * middle, middle);
    }
    const auto maps = [&](Products& m) { return FeatureMapView{m.data(), samples, teacher_channels, side, side}; };
    Products grad = mean;
    std::vector<double> grad_log_scale(log_scale.size(), 42);
    support::check_golden_loss(
        golden, VariationalInformation{}(maps(mean), maps(teacher), log_scale, maps(grad), grad_log_scale));
    support::check_golden_gradient(golden, grad_log_scale, tolerances::golden, "log_scale");

    Products grad_student(samples * student_channels, pixels), grad_w3 = Products::Zero(w3.rows(), w3.cols());
    for (Eigen::Index i = 0; i < samples; ++i) {
      const Products g3 = grad.middleRows(i * teacher_channels, teacher_channels);
      grad_w3 += g3 * h2.middleRows(i * middle, middle).transpose();
      const auto back = [&](const Products& g, const Products& h) -> Products {
        return g.cwiseProduct((h.middleRows(i * middle, middle).array() > 0).cast<double>().matrix());
      };
      const Products g2 = back(w3.transpose() * g3, h2), g1 = back(w2.transpose() * g2, h1);
      grad_student.middleRows(i * student_channels, student_channels) = w1.transpose() * g1;
    }
    const Products at_full_size = grad_student * pooling(student_side, side);
    support::check_golden_gradient(golden,
                                   std::vector<double>(at_full_size.data(), at_full_size.data() + at_full_size.size()));
    support::check_golden_gradient(golden, std::vector<double>(grad_w3.data(), grad_w3.data() + grad_w3.size()),
                                   tolerances::golden, "w3");
  }
}
