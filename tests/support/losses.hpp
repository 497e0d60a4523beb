// The losses on class scores behind one interface, for tests that hold for all of them.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <distill/distill.hpp>
#include <string>
#include <utility>
#include <vector>

#include "support/reference.hpp"

namespace support {

/// `call(student, teacher, labels, grad..., options)` of each loss; those without a teacher or labels leave them out.
struct Kl {
  distill::KlDivergence loss;
  static constexpr const char* name = "KlDivergence";
  static constexpr bool has_teacher = true, has_labels = false, has_temperature = true;
  template <class S, class T, class L, class... Rest>
  double operator()(const S& student, const T& teacher, const L&, Rest&&... rest) const {
    return loss(student, teacher, std::forward<Rest>(rest)...);
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
  double operator()(const S& student, const T&, const L& labels, Rest&&... rest) const {
    return loss(student, labels, std::forward<Rest>(rest)...);
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
  double operator()(const S& student, const T& teacher, const L& labels, Rest&&... rest) const {
    return loss(student, teacher, labels, std::forward<Rest>(rest)...);
  }
  void set_temperature(double t) { loss.temperature = t; }
  reference::Result expected(const reference::Row& s, const reference::Row& t, std::size_t label) const {
    return reference::knowledge_distillation(s, t, label, loss.temperature, loss.alpha);
  }
};

}  // namespace support

#define DISTILL_TEST_LOSSES support::Kl, support::Ce, support::SmoothedCe, support::Kd
