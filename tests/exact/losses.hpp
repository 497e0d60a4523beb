// All losses of two matrices behind one interface: the tests here hold for each of them.
#pragma once

#include <cmath>
#include <cstddef>
#include <distill/attention/value_relation.hpp>
#include <distill/distill.hpp>
#include <distill/features/neuron_selectivity.hpp>
#include <distill/relations/channel_gram.hpp>
#include <distill/relations/contrastive.hpp>
#include <distill/relations/correlation_congruence.hpp>
#include <distill/relations/linear_cka.hpp>
#include <distill/relations/probabilistic_transfer.hpp>
#include <distill/relations/relational_angle.hpp>
#include <distill/relations/relational_distance.hpp>
#include <distill/relations/similarity_preserving.hpp>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace exact {

/// Samples, one a row: what a student or a teacher has.
template <class T>
struct Samples {
  std::size_t rows, cols;
  std::vector<T> numbers;

  Samples(std::size_t r, std::size_t c) : rows(r), cols(c), numbers(r * c) {}
  T* row(std::size_t i) { return numbers.data() + i * cols; }
  double at(std::size_t i, std::size_t j) const {
    return distill::detail::load_scalar<double>(numbers.data() + i * cols + j);
  }
  void set(std::size_t i, std::size_t j, double x) { distill::detail::store_scalar(row(i) + j, x); }
  void copy_row(std::size_t from, std::size_t to) {
    for (std::size_t j = 0; j < cols; ++j) row(to)[j] = row(from)[j];
  }
};

/// Normally distributed around `mean`, of no round numbers.
template <class T>
Samples<T> random_samples(std::size_t rows, std::size_t cols, unsigned seed, double mean = 0.3, double size = 1.7) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal;
  Samples<T> samples(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) samples.set(i, j, mean + size * normal(engine));
  }
  return samples;
}

template <class T>
struct Answer {
  double value;
  std::vector<double> losses;  // of the samples
  Samples<T> gradient;

  double largest_gradient() const {
    double largest = 0;
    for (std::size_t i = 0; i < gradient.rows; ++i) {
      for (std::size_t j = 0; j < gradient.cols; ++j) {
        const double size = std::abs(gradient.at(i, j));
        if (!(size <= largest)) largest = size;  // NaN stays
      }
    }
    return largest;
  }
};

/// A loss, called with matrices of the samples as they are, as maps, or with labels.
template <class T>
struct Loss {
  using View = distill::MatrixView<T>;
  using Labels = distill::LabelsView<int>;
  std::string name;
  std::function<double(View student, View teacher, Labels, View grad, const distill::RowOptions&)> call;

  Answer<T> operator()(Samples<T> student, Samples<T> teacher, const std::vector<float>& weights = {}) const {
    const std::size_t rows = student.rows, cols = student.cols;
    Answer<T> answer{0, std::vector<double>(rows), Samples<T>(rows, cols)};
    std::vector<int> labels(rows);
    for (std::size_t i = 0; i < rows; ++i) labels[i] = static_cast<int>(i % cols);
    distill::RowOptions options;
    options.losses = answer.losses;
    if (!weights.empty()) options.weights = weights;
    answer.value = call({student.numbers.data(), rows, cols}, {teacher.numbers.data(), teacher.rows, teacher.cols},
                        {labels.data(), rows}, {answer.gradient.numbers.data(), rows, cols}, options);
    return answer;
  }
};

/// A loss with fields that `change(loss)` sets.
template <class L, class Change>
L with(const Change& change) {
  L loss;
  change(loss);
  return loss;
}

/// The way a loss takes its samples.
inline constexpr auto as_rows = [](auto view) { return view; };
/// Two channels, or one of an odd number of positions.
inline constexpr auto as_maps = [](auto view) {
  const std::size_t channels = view.cols % 2 == 0 ? 2 : 1;
  return distill::FeatureMapView{view.data, view.rows, channels, view.cols / channels, 1};
};
/// The same, the channels side by side.
inline constexpr auto as_nhwc = [](auto view) {
  const std::size_t channels = view.cols % 2 == 0 ? 2 : 1;
  return distill::nhwc(view.data, view.rows, view.cols / channels, 1, channels);
};
/// A loss called with both samples and the gradient as `form`.
template <class T, class L, class Form>
Loss<T> loss_of(std::string name, const L& loss, const Form& form) {
  return {std::move(name), [=](auto s, auto t, auto, auto grad, const auto& options) {
            return loss(form(s), form(t), form(grad), options);
          }};
}
/// With labels.
template <class T, class L>
Loss<T> labelled(std::string name, const L& loss) {
  return {std::move(name), [=](auto s, auto t, auto labels, auto grad, const auto& options) {
            return loss(s, t, labels, grad, options);
          }};
}

}  // namespace exact
