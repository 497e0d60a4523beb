// Calls every loss, value and gradient, and compares with numbers that were computed elsewhere. Without any of the
// standard library's templates, and with internal linkage, so that an object file holds the library's symbols only.
#pragma once

#include <cmath>
#include <cstdio>
#include <distill/distill.hpp>

namespace {

constexpr int rows = 2, cols = 19;

template <class S>
struct Data {
  S student[rows * cols], teacher[rows * cols], grad[rows * cols];
  int labels[rows] = {3, 17};

  Data() {
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < cols; ++j) {
        student[i * cols + j] = static_cast<S>(((7 * i + 5 * j) % 11) * 0.25 - 1);
        teacher[i * cols + j] = static_cast<S>(((3 * i + 4 * j) % 7) * 0.5 - 1.5);
        grad[i * cols + j] = 0;
      }
    }
  }
};

/// The value, and the sum of gradient elements times 1, 2, 3, 4, 5, 1, 2, ...
template <class S, class Call>
bool is_right(const char* name, const Call& call, double value, double gradient) {
  Data<S> d;
  const auto view = [](S* data) { return distill::MatrixView<S>{data, rows, cols}; };
  const double v = call(view(d.student), view(d.teacher), distill::LabelsView<int>{d.labels, rows}, view(d.grad));
  double g = 0;
  for (int k = 0; k < rows * cols; ++k) g += static_cast<double>(d.grad[k]) * (k % 5 + 1);
  const bool right = std::abs(v - value) <= 2e-6 && std::abs(g - gradient) <= 2e-6 * (1 + std::abs(gradient));
  if (!right) std::printf("%s: value %.9f, gradient %.9f; expected %.9f, %.9f\n", name, v, g, value, gradient);
  return right;
}

/// A row as one channel.
template <class S>
distill::FeatureMapView<S> maps(distill::MatrixView<S> m) {
  return {m.data, m.rows, 1, m.cols};
}

/// A new loss is one line here: name, call, value, gradient.
template <class S>
bool every_loss_is_right() {
  using namespace distill;
  // clang-format off
  const bool all[] = {
    is_right<S>("KlDivergence", [](auto s, auto t, auto, auto g) { KlDivergence loss; loss.temperature = 2; return loss(s, t, g); }, 0.533629213222, 0.459429841763),
    is_right<S>("KnowledgeDistillation", [](auto s, auto t, auto l, auto g) { return KnowledgeDistillation{}(s, t, l, g); }, 0.82268902416, 0.406343147231),
    is_right<S>("CrossEntropy", [](auto s, auto, auto l, auto g) { return CrossEntropy{}(s, l, g); }, 3.519287288252, -0.014678306966),
    is_right<S>("FeatureMatching, squared", [](auto s, auto t, auto, auto g) { return FeatureMatching{}(s, t, g); }, 1.113486842105, 2.828947368421),
    is_right<S>("FeatureMatching, smooth_l1", [](auto s, auto t, auto, auto g) { FeatureMatching loss; loss.distance = FeatureDistance::smooth_l1; loss.delta = 0.5; return loss(s, t, g); }, 0.648026315789, 1.039473684211),
    is_right<S>("FeatureMatching, cosine", [](auto s, auto t, auto, auto g) { FeatureMatching loss; loss.distance = FeatureDistance::cosine; return loss(s, t, g); }, 0.648739305388, 1.070528174583),
    is_right<S>("AttentionTransfer", [](auto s, auto t, auto, auto g) { return AttentionTransfer{}(maps(s), maps(t), maps(g)); }, 0.072376793275, 0.079514083667),
    is_right<S>("AttentionTransfer, power 4", [](auto s, auto t, auto, auto g) { AttentionTransfer loss; loss.power = 4; return loss(maps(s), maps(t), maps(g)); }, 0.094859821674, 0.067096842392),
    is_right<S>("softmax", [](auto s, auto, auto, auto g) { softmax(s, g, 2); return 0.0; }, 0, 5.911111606891),
    is_right<S>("softmax_backward", [](auto s, auto t, auto, auto g) { softmax_backward(s, t, g, 2); return 0.0; }, 0, -80.25),
    is_right<S>("log_softmax", [](auto s, auto, auto, auto g) { log_softmax(s, g, 2); return 0.0; }, 0, -334.310540050133),
    is_right<S>("log_softmax_backward", [](auto s, auto t, auto, auto g) { log_softmax_backward(s, t, g, 2); return 0.0; }, 0, 115.656356701204),
  };
  // clang-format on
  bool right = true;
  for (const bool one : all) right = right && one;
  return right;
}

}  // namespace
