// The losses on class scores with one interface, for tests of common properties.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <distill/distill.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "support/reference.hpp"

namespace support {

// A loss is compiled again for each type that it is called with, which is nearly all of these tests' build time. So the
// tests first convert their arguments to the same few types; which types a call takes is tested elsewhere.

template <class M>
auto read_only(const M& matrix) {
  const auto view = distill::as_matrix(matrix);
  using T = const std::remove_pointer_t<decltype(view.data)>;
  return distill::MatrixView<T>{view.data, view.rows, view.cols, view.row_stride};
}

/// What follows the labels: a gradient, options, or both.
template <class Rest>
auto rest_of_call(const Rest& rest) {
  if constexpr (std::is_same_v<Rest, distill::RowOptions>) {
    return rest;
  } else {
    return distill::detail::gradient_target<void>(rest);
  }
}

/// `call(student, teacher, labels, grad..., options)` of each loss; those without a teacher or labels leave them out.
struct Kl {
  distill::KlDivergence loss;
  static constexpr const char* name = "KlDivergence";
  static constexpr bool has_teacher = true, has_labels = false, has_temperature = true;
  template <class S, class T, class L, class... Rest>
  double operator()(const S& student, const T& teacher, const L&, const Rest&... rest) const {
    return loss(read_only(student), read_only(teacher), rest_of_call(rest)...);
  }
  void set_temperature(double t) { loss.temperature = t; }
  reference::Result expected(const reference::Row& s, const reference::Row& t, std::size_t) const {
    auto result = reference::kl_divergence(s, t, loss.temperature);
    result.loss *= loss.temperature * loss.temperature;
    for (auto& element : result.gradient) element *= loss.temperature * loss.temperature;
    return result;
  }
};

struct Ce {
  distill::CrossEntropy loss{};
  static constexpr const char* name = "CrossEntropy";
  static constexpr bool has_teacher = false, has_labels = true, has_temperature = false;
  template <class S, class T, class L, class... Rest>
  double operator()(const S& student, const T&, const L& labels, const Rest&... rest) const {
    return loss(read_only(student), distill::as_labels(labels), rest_of_call(rest)...);
  }
  void set_temperature(double) {}
  reference::Result expected(const reference::Row& s, const reference::Row&, std::size_t label) const {
    return reference::cross_entropy(s, label, loss.label_smoothing);
  }
};

struct SmoothedCe : Ce {
  SmoothedCe() { loss.label_smoothing = 0.1; }
};

struct Kd {
  distill::KnowledgeDistillation loss;
  static constexpr const char* name = "KnowledgeDistillation";
  static constexpr bool has_teacher = true, has_labels = true, has_temperature = true;
  template <class S, class T, class L, class... Rest>
  double operator()(const S& student, const T& teacher, const L& labels, const Rest&... rest) const {
    return loss(read_only(student), read_only(teacher), distill::as_labels(labels), rest_of_call(rest)...);
  }
  void set_temperature(double t) { loss.temperature = t; }
  reference::Result expected(const reference::Row& s, const reference::Row& t, std::size_t label) const {
    return reference::knowledge_distillation(s, t, label, loss.temperature, loss.alpha);
  }
};

}  // namespace support

#define DISTILL_TEST_LOSSES support::Kl, support::Ce, support::SmoothedCe, support::Kd
