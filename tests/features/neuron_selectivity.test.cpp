#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <distill/features/neuron_selectivity.hpp>
#include <limits>
#include <vector>

#include "support/golden_maps.hpp"
#include "support/hidden_loss.hpp"
#include "support/reference_hidden.hpp"

namespace {

using distill::FeatureMapView;
using distill::NeuronSelectivity;
using distill::SelectivityKernel;
using reference::Row;

struct Shape {
  std::size_t channels, height, width;
  std::size_t size() const { return channels * height * width; }
};

/// The unit channels of a sample, pooled; `last`: of positions x channels.
std::vector<Row> unit_channels(const Row& row, Shape shape, bool last, std::size_t height, std::size_t width) {
  reference::Maps maps{Row(row.size()), shape.channels, shape.height, shape.width};
  const std::size_t positions = shape.height * shape.width;
  for (std::size_t c = 0; c < shape.channels; ++c) {
    for (std::size_t p = 0; p < positions; ++p) {
      maps.data[c * positions + p] = row[last ? p * shape.channels + c : c * positions + p];
    }
  }
  maps = reference::average_pool(maps, height, width);
  std::vector<Row> result;
  for (std::size_t c = 0; c < shape.channels; ++c) {
    const auto begin = maps.data.begin() + static_cast<std::ptrdiff_t>(c * height * width);
    result.push_back(reference::unit(Row(begin, begin + static_cast<std::ptrdiff_t>(height * width))));
  }
  return result;
}

long double kernel(const NeuronSelectivity& loss, const Row& a, const Row& b) {
  const long double product = reference::dot(a, b);
  if (loss.kernel == SelectivityKernel::linear) return product;
  if (loss.kernel == SelectivityKernel::polynomial) return std::pow(product + loss.offset, loss.degree);
  const long double squares = reference::dot(a, a) + reference::dot(b, b) - 2 * product;
  return std::expm1(-squares / (2 * loss.bandwidth * loss.bandwidth));
}

long double mean(const NeuronSelectivity& loss, const std::vector<Row>& a, const std::vector<Row>& b) {
  long double sum = 0;
  for (const Row& x : a) {
    for (const Row& y : b) sum += kernel(loss, x, y);
  }
  return sum / static_cast<long double>(a.size() * b.size());
}

void check_formula(const NeuronSelectivity& loss, Shape student, Shape teacher, bool last) {
  CAPTURE(static_cast<int>(loss.kernel));
  CAPTURE(student.channels);
  CAPTURE(last);
  const auto maps = [=](const auto& m, Shape shape) {
    return last ? support::as_nhwc(m, shape.channels, shape.height, shape.width)
                : support::as_maps(m, shape.channels, shape.height, shape.width);
  };
  auto checked =
      support::hidden_loss("NeuronSelectivity", loss, [=](const auto& l, auto s, auto t, auto g, const auto& options) {
        return l(maps(s, student), maps(t, teacher), maps(g, student), options);
      });
  checked.student_size = student.size();
  checked.teacher_size = teacher.size();
  checked.sample = [=](const Row& s, const Row& t) {
    const std::size_t height = std::min(student.height, teacher.height);
    const std::size_t width = std::min(student.width, teacher.width);
    const auto u = unit_channels(s, student, last, height, width), v = unit_channels(t, teacher, last, height, width);
    return mean(loss, u, u) - 2 * mean(loss, u, v) + mean(loss, v, v);
  };
  support::check_hidden_loss(checked);
}

}  // namespace

TEST_CASE("NeuronSelectivity: value and gradient are the formula's") {
  const NeuronSelectivity linear{.kernel = SelectivityKernel::linear}, square{}, cubic{.degree = 3, .offset = 0.5},
      gaussian{.kernel = SelectivityKernel::gaussian, .bandwidth = 0.75};
  for (const bool last : {false, true}) {
    for (const NeuronSelectivity& loss : {linear, square, cubic, gaussian}) {
      check_formula(loss, {3, 2, 4}, {5, 2, 4}, last);
    }
    check_formula(square, {2, 4, 3}, {3, 2, 5}, last);
    check_formula(linear, {9, 1, 3}, {2, 1, 6}, last);
  }
}

TEST_CASE("NeuronSelectivity: golden vectors") {
  support::check_golden_maps("nst.repdistiller", [](const auto&) { return NeuronSelectivity{}; });
}

TEST_CASE("NeuronSelectivity: more channels than are multiplied at once, and more than a group of a sum") {
  constexpr std::size_t positions = 5, students = 300, teachers = 140;
  Row student, teacher;
  for (std::size_t k = 0; k < students * positions; ++k) student.push_back(static_cast<long double>(k * 7 % 31) - 11);
  for (std::size_t k = 0; k < teachers * positions; ++k) teacher.push_back(static_cast<long double>(k * 5 % 23) - 9);
  std::vector<double> s(student.begin(), student.end()), t(teacher.begin(), teacher.end()), grad(s.size(), 42);
  for (const SelectivityKernel kind :
       {SelectivityKernel::linear, SelectivityKernel::polynomial, SelectivityKernel::gaussian}) {
    const NeuronSelectivity loss{.kernel = kind};
    const auto formula = [&](const Row& x) {
      const auto u = unit_channels(x, {students, positions, 1}, false, positions, 1);
      const auto v = unit_channels(teacher, {teachers, positions, 1}, false, positions, 1);
      return mean(loss, u, u) - 2 * mean(loss, u, v) + mean(loss, v, v);
    };
    const double value =
        loss(FeatureMapView{s.data(), 1, students, positions}, FeatureMapView{t.data(), 1, teachers, positions},
             FeatureMapView{grad.data(), 1, students, positions});
    CHECK(value == doctest::Approx(static_cast<double>(formula(student))).epsilon(1e-10));
    for (const std::size_t k : {std::size_t{0}, std::size_t{703}, s.size() - 1}) {
      Row above = student, below = student;
      above[k] += 1e-4L;
      below[k] -= 1e-4L;
      const long double expected = (formula(above) - formula(below)) / 2e-4L;
      CHECK(std::abs(grad[k] - static_cast<double>(expected)) <= 1e-11);
    }
  }
}

TEST_CASE("NeuronSelectivity: channels of zeros, and sets of the same channels in another order") {
  std::vector<double> student{1, 2, 0, 0, -3, 1, 0, 2, 5}, teacher(student), grad(9, 42);
  std::rotate(teacher.begin(), teacher.begin() + 3, teacher.end());
  const auto maps = [](auto& v) { return FeatureMapView{v.data(), 1, 3, 3}; };
  for (const SelectivityKernel kind :
       {SelectivityKernel::linear, SelectivityKernel::polynomial, SelectivityKernel::gaussian}) {
    const NeuronSelectivity loss{.kernel = kind};
    CHECK(loss(maps(student), maps(teacher), maps(grad)) <= 1e-15);
    for (const double g : grad) CHECK(std::abs(g) <= 1e-15);
    std::vector<double> dead = student;
    dead[3] = dead[4] = dead[5] = 0;
    CHECK(loss(maps(dead), maps(teacher), maps(grad)) > 0.01);
    for (std::size_t k = 3; k < 6; ++k) CHECK(grad[k] == 0);
  }
}

TEST_CASE("NeuronSelectivity: large and tiny numbers") {
  const auto maps = [](auto& v) { return FeatureMapView{v.data(), 1, 2, 3}; };
  std::vector<float> teacher{3, 1, 2, 0, 1, -1}, usual{1, 2, 0, 0, -3, 1}, expected(6);
  const double value = NeuronSelectivity{}(maps(usual), maps(teacher), maps(expected));
  for (const float size : {0x1p-100f, 0x1p100f}) {
    std::vector<float> student, grad(6);
    for (const float x : usual) student.push_back(x * size);
    CHECK(NeuronSelectivity{.weight = static_cast<double>(size)}(maps(student), maps(teacher), maps(grad)) /
              static_cast<double>(size) ==
          doctest::Approx(value).epsilon(1e-6));
    for (std::size_t k = 0; k < 6; ++k) CHECK(std::abs(grad[k] - expected[k]) <= 1e-6f);
  }
}

TEST_CASE("NeuronSelectivity: parameters out of range throw") {
  std::vector<float> student(12, 1), teacher(12, 2), grad(12, 42);
  const FeatureMapView s{student.data(), 1, 3, 2, 2}, t{teacher.data(), 1, 3, 2, 2}, g{grad.data(), 1, 3, 2, 2};
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const auto throws = [&](const NeuronSelectivity& loss, const char* message) {
    support::check_throws([&] { loss(s, t, g); }, {"NeuronSelectivity: ", message});
  };
  for (const double degree : {0.0, 2.5, 65.0, nan}) {
    throws({.degree = degree}, "expected a whole number from 1 to 64");
  }
  for (const double bandwidth : {0.0, -1.0, 1e7, nan}) throws({.bandwidth = bandwidth}, "bandwidth is ");
  for (const double offset : {-1.0, nan}) throws({.offset = offset}, "offset is ");
  throws({.kernel = static_cast<SelectivityKernel>(7)}, "kernel is 7, expected a SelectivityKernel");
  CHECK(grad == std::vector<float>(12, 42));
}
