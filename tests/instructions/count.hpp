// Counts what one call costs, for callgrind: each count() is a dump that has the name of kernel and shape.
#pragma once

#include <valgrind/callgrind.h>

#include <cstddef>
#include <random>
#include <vector>

#include <distill/core/scalar.hpp>
#include <distill/core/views.hpp>

namespace instructions {

template <class Call>
void count(const char* name, const Call& call) {
  call();  // takes scratch memory, and binds what is bound late
  CALLGRIND_TOGGLE_COLLECT;
  call();
  CALLGRIND_TOGGLE_COLLECT;
  CALLGRIND_DUMP_STATS_AT(name);
}

/// Scores or features from -4 to 4, and a student that is at most 1 off; the same with every standard library.
template <class T = float>
struct Batch {
  std::size_t rows, cols;
  std::vector<T> student, teacher, grad;
  std::vector<int> labels;

  Batch(std::size_t r, std::size_t c) : rows(r), cols(c), student(r * c), teacher(r * c), grad(r * c), labels(r, 3) {
    std::minstd_rand random;
    const auto number = [&] { return 8 * static_cast<float>(random()) / static_cast<float>(random.max()) - 4; };
    for (std::size_t i = 0; i < r * c; ++i) {
      const float t = number(), s = t + number() / 4;
      distill::detail::store_scalar(&teacher[i], t);
      distill::detail::store_scalar(&student[i], s);
    }
  }
  distill::MatrixView<const T> s() const { return {student.data(), rows, cols}; }
  distill::MatrixView<const T> t() const { return {teacher.data(), rows, cols}; }
  distill::MatrixView<T> g() { return {grad.data(), rows, cols}; }
};

/// Value and gradient of a loss on scores or on features
template <class T = float, class Loss>
void count_rows(const char* name, const Loss& loss, std::size_t rows, std::size_t cols) {
  Batch<T> b(rows, cols);
  count(name, [&] { loss(b.s(), b.t(), b.g()); });
}

/// The same with labels
template <class Loss>
void count_labelled(const char* name, const Loss& loss, std::size_t rows, std::size_t cols) {
  Batch b(rows, cols);
  count(name, [&] { loss(b.s(), b.t(), b.labels, b.g()); });
}

/// Value and gradient of a loss on maps N x C x H x W
template <class Loss>
void count_maps(const char* name, const Loss& loss, std::size_t n, std::size_t c, std::size_t h, std::size_t w) {
  Batch b(n, c * h * w);
  const auto maps = [&](auto view) { return distill::FeatureMapView{view.data, n, c, h, w}; };
  count(name, [&] { loss(maps(b.s()), maps(b.t()), maps(b.g())); });
}

// One file each, as in a user's program: what gcc inlines depends on all that a file holds.
void attention_transfer();
void channel_wise();
void cross_entropy();
void feature_matching();
void jensen_shannon();
void kl_divergence();
void knowledge_distillation();
void margin_relu();
void softmax();
void variational_information();

}  // namespace instructions
