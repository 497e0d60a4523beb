// The row kernels on every architecture that this build has, against the reference.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <distill/kernels/scores/cross_entropy_row.hpp>
#include <distill/kernels/scores/kl_row.hpp>
#include <distill/logits/log_softmax.hpp>
#include <distill/logits/softmax.hpp>
#include <vector>

#include "support/architectures.hpp"
#include "support/data.hpp"
#include "support/loss_check.hpp"
#include "support/reference.hpp"
#include "support/tolerances.hpp"

namespace {

using distill::Precision;
using distill::kernels::Lanes;

template <class T>
double worst(const std::vector<T>& actual, const reference::Row& expected, long double factor = 1) {
  long double largest = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const long double error = std::abs(static_cast<long double>(actual[i]) - factor * expected[i]);
    largest = error <= largest ? largest : error;
  }
  return static_cast<double>(largest);
}

template <Precision precision, class L, class T>
double kl_row(const T* s, const T* t, std::size_t n, double temperature, const distill::kernels::RowFactors& factors,
              double scale, T* grad, std::size_t label = distill::kernels::none) {
  using distill::kernels::GradientRow;
  const distill::kernels::ScoresRow<T, T> row{s, distill::kernels::only_teacher(t), n, label};
  return label == distill::kernels::none
             ? distill::kernels::kl_row<precision, false, L>(row, temperature, factors, scale, GradientRow<T>{grad})
             : distill::kernels::kl_row<precision, true, L>(row, temperature, factors, scale, GradientRow<T>{grad});
}

constexpr std::size_t sizes[] = {2, 3, 8, 10, 15, 16, 17, 33, 255, 256, 257, 513, 1271};

template <Precision precision, class T, class Arch>
void check_distillation(support::Kind kind, double temperature) {
  using L = Lanes<T, Arch>;
  using Tolerance = tolerances::Tolerance<T>;
  for (const std::size_t n : sizes) {
    const support::Scores<T, T> scores(kind, 1, n, static_cast<unsigned>(n));
    const auto label = static_cast<std::size_t>(scores.labels[0]);
    const T* const s = scores.student.view().data;
    const T* const t = scores.teacher.view().data;
    const reference::Result kl = reference::kl_divergence(scores.student.row(0), scores.teacher.row(0), temperature);
    const reference::Result ce = reference::cross_entropy(scores.student.row(0), label);
    std::vector<T> grad(n);
    CAPTURE(n);
    CAPTURE(temperature);
    const double loss = kl_row<precision, L>(s, t, n, temperature, {1.0}, temperature, grad.data());
    CHECK(std::abs(loss - static_cast<double>(kl.loss)) <=
          Tolerance::value * std::max(1.0, static_cast<double>(kl.loss)));
    CHECK(worst(grad, kl.gradient, temperature) <= Tolerance::gradient);

    const double sum = kl_row<precision, L>(s, t, n, temperature, {0.5, 0.25}, 1, grad.data(), label);
    const auto expected = static_cast<double>(0.5L * kl.loss + 0.25L * ce.loss);
    CHECK(std::abs(sum - expected) <= Tolerance::value * std::max(1.0, expected));
    reference::Row gradient;
    for (std::size_t i = 0; i < n; ++i) gradient.push_back(0.5L * kl.gradient[i] + 0.25L * ce.gradient[i]);
    CHECK(worst(grad, gradient) <= Tolerance::gradient * std::max(1.0, 0.5 / temperature));
  }
}

template <class T, class Arch>
void check_others(support::Kind kind) {
  using L = Lanes<T, Arch>;
  using Tolerance = tolerances::Tolerance<T>;
  for (const std::size_t n : sizes) {
    const support::Scores<T, T> scores(kind, 1, n, static_cast<unsigned>(n));
    const auto label = static_cast<std::size_t>(scores.labels[0]);
    const T* const s = scores.student.view().data;
    std::vector<T> out(n);
    CAPTURE(n);
    for (const double smoothing : {0.0, 0.2}) {
      const reference::Result ce = reference::cross_entropy(scores.student.row(0), label, smoothing);
      const double loss = distill::kernels::whole_row(distill::kernels::CrossEntropyRow<L, T>(s, n, label, smoothing),
                                                      1, distill::kernels::GradientRow<T>{out.data()});
      CHECK(std::abs(loss - static_cast<double>(ce.loss)) <=
            Tolerance::value * std::max(1.0, static_cast<double>(ce.loss)));
      CHECK(worst(out, ce.gradient) <= Tolerance::gradient);
    }
    distill::kernels::softmax_row<L>(s, n, 1.5, out.data());
    CHECK(worst(out, reference::softmax(scores.student.row(0), 1.5)) <= Tolerance::gradient);
    distill::kernels::log_softmax_row<L>(s, n, 1.5, out.data());
    CHECK(worst(out, reference::log_softmax(scores.student.row(0), 1.5)) <= 100 * Tolerance::gradient);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("kl_row", Arch, DISTILL_TEST_ARCHITECTURES) {
  for (const support::Kind kind : support::all_kinds) {
    for (const double temperature : {0.05, 1.0, 4.0}) {
      CAPTURE(support::name(kind));
      check_distillation<Precision::standard, float, Arch>(kind, temperature);
      check_distillation<Precision::high, float, Arch>(kind, temperature);
      check_distillation<Precision::standard, double, Arch>(kind, temperature);
    }
  }
}

TEST_CASE_TEMPLATE("cross_entropy_row, softmax_row, log_softmax_row", Arch, DISTILL_TEST_ARCHITECTURES) {
  for (const support::Kind kind : {support::Kind::random, support::Kind::wide}) {
    check_others<float, Arch>(kind);
    check_others<double, Arch>(kind);
  }
}

TEST_CASE_TEMPLATE("rows of rising scores raise the offset as they go", Arch, DISTILL_TEST_ARCHITECTURES) {
  using L = Lanes<float, Arch>;
  for (const double slope : {0.05, 0.5, 5.0, 100.0}) {
    const std::size_t n = 3000;
    support::Matrix<float> student(1, n), teacher(1, n);
    for (std::size_t j = 0; j < n; ++j) {
      student.set(0, j, slope * static_cast<double>(j) - 300);
      teacher.set(0, j, slope * static_cast<double>(n - j));
    }
    const reference::Result kl = reference::kl_divergence(student.row(0), teacher.row(0), 2);
    std::vector<float> grad(n);
    CAPTURE(slope);
    const double loss =
        kl_row<Precision::standard, L>(student.view().data, teacher.view().data, n, 2, {1.0}, 2, grad.data());
    CHECK(std::abs(loss - static_cast<double>(kl.loss)) <= 1e-6 * static_cast<double>(kl.loss));
    CHECK(worst(grad, kl.gradient, 2) <= 1e-6);
  }
}

TEST_CASE_TEMPLATE("a row that does not fill the last lanes has no classes behind its end, however small T is", Arch,
                   DISTILL_TEST_ARCHITECTURES) {
  using L = Lanes<float, Arch>;
  for (const double temperature : {1e-1, 1e-3, 1e-5, 1e-9}) {
    for (const std::size_t n : {2, 3, 131, 513}) {
      support::Matrix<float> student(1, n), teacher(1, n);
      for (std::size_t j = 0; j < n; ++j) {
        student.set(0, j, temperature * static_cast<double>(j % 7));
        teacher.set(0, j, temperature * static_cast<double>(j % 5));
      }
      const reference::Result ce = reference::cross_entropy(student.row(0), 1);
      std::vector<float> grad(n);
      CAPTURE(temperature);
      CAPTURE(n);
      const double loss = kl_row<Precision::standard, L>(student.view().data, teacher.view().data, n, temperature,
                                                         {0.0, 1.0}, 1, grad.data(), 1);
      CHECK(std::abs(loss - static_cast<double>(ce.loss)) <= 1e-6 * static_cast<double>(ce.loss));
      CHECK(worst(grad, ce.gradient) <= 1e-6);
    }
  }
}

TEST_CASE_TEMPLATE("a row whose offset rose far keeps the digits of a small value", Arch, DISTILL_TEST_ARCHITECTURES) {
  using L = Lanes<float, Arch>;
  const std::size_t n = 1000;
  support::Scores<float, float> scores(support::Kind::random, 1, n);
  for (const double margin : {500.1, 600.2, 700.3, 800.4, 900.5}) {  // student and teacher are as certain as can be
    scores.student.set(0, n - 1, 0.6 * margin);
    scores.teacher.set(0, n - 1, margin);
    std::vector<float> grad(n);
    CAPTURE(margin);
    CHECK(kl_row<Precision::standard, L>(scores.student.view().data, scores.teacher.view().data, n, 1, {1.0}, 1,
                                         grad.data()) <= 3e-7);
    CHECK(worst(grad, reference::Row(n)) <= tolerances::Tolerance<float>::gradient);
  }
}

TEST_CASE_TEMPLATE("a row that begins far from its largest class keeps the digits of a small value", Arch,
                   DISTILL_TEST_ARCHITECTURES) {
  using L = Lanes<float, Arch>;
  const std::size_t n = 40;
  support::Matrix<float> student(1, n), teacher(1, n);
  for (const double top : {2500.1, 2600.2, 2700.3, 2800.4}) {
    student.fill(2000);
    teacher.fill(-top);
    student.set(0, n - 1, top);
    teacher.set(0, n - 1, top + 10.7);
    CAPTURE(top);
    CHECK(kl_row<Precision::standard, L>(student.view().data, teacher.view().data, n, 1, {1.0}, 1,
                                         static_cast<float*>(nullptr)) <= 3e-7);
  }
}

TEST_CASE_TEMPLATE("a log-ratio beyond float's range is finite in Precision::high", Arch, DISTILL_TEST_ARCHITECTURES) {
  using L = Lanes<float, Arch>;
  for (const std::size_t n : {2, 200}) {
    support::Matrix<float> student(1, n), teacher(1, n);
    student.set(0, 1, -3e38);
    const reference::Result kl = reference::kl_divergence(student.row(0), teacher.row(0), 0.5);
    CAPTURE(n);
    // the gradient takes the student's place
    const double loss =
        kl_row<Precision::high, L>(student.view().data, teacher.view().data, n, 0.5, {1.0}, 0.5, student.view().data);
    CHECK(std::abs(loss - static_cast<double>(kl.loss)) <= 1e-6 * static_cast<double>(kl.loss));
    CHECK(worst(std::vector<float>(student.view().data, student.view().data + n), kl.gradient, 0.5L) <= 1e-6);
  }
}

TEST_CASE_TEMPLATE("scores in range at T = 2 and out of it at T = 1, where the labels' term is", Arch,
                   DISTILL_TEST_ARCHITECTURES) {
  using L = Lanes<float, Arch>;
  const double top = 1.4 * distill::kernels::ln_2 * distill::kernels::max_offset<L>;
  for (const std::size_t n : {2, 300}) {
    for (const std::size_t where : {std::size_t{1}, n - 1}) {
      support::Matrix<float> student(1, n), teacher(1, n);
      student.set(0, where, top);
      teacher.set(0, where, top);
      const reference::Result ce = reference::cross_entropy(student.row(0), 0);
      std::vector<float> grad(n);
      CAPTURE(n);
      CAPTURE(where);
      const double loss =
          kl_row<Precision::standard, L>(student.view().data, teacher.view().data, n, 2, {0.0, 1.0}, 1, grad.data(), 0);
      CHECK(std::abs(loss - static_cast<double>(ce.loss)) <= 1e-6 * static_cast<double>(ce.loss));
      CHECK(worst(grad, ce.gradient) <= 1e-6);
    }
  }
}
