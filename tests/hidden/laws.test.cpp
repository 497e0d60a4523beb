// What holds for FeatureMatching and AttentionTransfer, whatever the numbers; for the other losses on hidden layers see
// support/hidden_loss.hpp.
#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>
#include <limits>
#include <vector>

#include "support/data.hpp"
#include "support/guarded.hpp"
#include "support/hidden_losses.hpp"
#include "support/loss_check.hpp"
#include "support/outcome.hpp"

namespace {

using distill::MatrixView;
using distill::RowOptions;

using Outcome = support::Outcome<float>;
using support::run;

}  // namespace

TEST_CASE_TEMPLATE("samples do not depend on one another: permuted, repeated, split", Loss,
                   DISTILL_TEST_HIDDEN_LOSSES) {
  for (const std::size_t cols : std::initializer_list<std::size_t>{2, 6, 66, 1200}) {
    Loss loss;
    loss.loss.reduction = distill::Reduction::sum;
    const support::Scores<float, float> scores(support::Kind::random, 5, cols);
    const Outcome whole = run(loss, scores);
    support::Scores<float, float> permuted = scores;
    const std::size_t from[] = {4, 0, 3, 3, 1};
    for (std::size_t i = 0; i < 5; ++i) {
      for (std::size_t j = 0; j < cols; ++j) {
        permuted.student.at(i, j) = scores.student.at(from[i], j);
        permuted.teacher.at(i, j) = scores.teacher.at(from[i], j);
      }
    }
    const Outcome moved = run(loss, permuted);
    for (std::size_t i = 0; i < 5; ++i) {
      CHECK(moved.losses[i] == whole.losses[from[i]]);
      CHECK(moved.grad.row(i) == whole.grad.row(from[i]));
    }
    support::Matrix<float> grad(5, cols);
    const auto part = [&](std::size_t begin, std::size_t end) {
      loss(MatrixView{scores.student.view().row(begin), end - begin, cols},
           MatrixView{scores.teacher.view().row(begin), end - begin, cols},
           MatrixView{grad.view().row(begin), end - begin, cols});
    };
    part(0, 2);
    part(2, 5);
    CHECK(grad.same_bits(whole.grad));
  }
}

TEST_CASE_TEMPLATE("hidden layers: add_to adds", Loss, DISTILL_TEST_HIDDEN_LOSSES) {
  for (const std::size_t cols : std::initializer_list<std::size_t>{2, 16, 70}) {
    const support::Scores<float, float> scores(support::Kind::random, 4, cols, 1, 3, 1);
    const std::vector<float> weights{1, 0, 2, 0.5f};
    RowOptions options;
    options.weights = weights;
    const Outcome plain = run(Loss{}, scores, options);
    support::Matrix<float> sum(4, cols, cols + 3, 1);
    sum.fill(0.75);
    CHECK(Loss{}(scores.student.view(), scores.teacher.view(), distill::add_to(sum.view()), options) == plain.total);
    CHECK(sum.guards_are_whole());
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t j = 0; j < cols; ++j) {
        CHECK(std::abs(sum.at(i, j) - (0.75f + plain.grad.at(i, j))) <= 1e-7f);  // an FMA rounds once
      }
    }
  }
}

TEST_CASE_TEMPLATE("hidden layers: the gradient may be the student's memory", Loss, DISTILL_TEST_HIDDEN_LOSSES) {
  for (const std::size_t cols : std::initializer_list<std::size_t>{2, 24, 700}) {
    support::Scores<float, float> scores(support::Kind::random, 3, cols);
    scores.student.set(1, cols / 2, 3e38);  // the way of large numbers, too
    const Outcome separate = run(Loss{}, scores);
    CHECK(Loss{}(scores.student.view(), scores.teacher.view(), scores.student.view()) == separate.total);
    for (std::size_t i = 0; i < 3; ++i) CHECK(scores.student.row(i) == separate.grad.row(i));
  }
}

TEST_CASE_TEMPLATE("hidden layers: an ignored sample is never read", Loss, DISTILL_TEST_HIDDEN_LOSSES) {
  support::Pages student_pages(3), teacher_pages(3);
  const std::size_t cols = 38, stride = student_pages.page_size() / sizeof(float);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      student_pages.at<float>(i)[j] = static_cast<float>(j % 7);
      teacher_pages.at<float>(i)[j] = static_cast<float>((j + i) % 5);
    }
  }
  student_pages.close(1);
  teacher_pages.close(1);
  const MatrixView student{student_pages.at<float>(0), 3, cols, stride};
  const MatrixView teacher{teacher_pages.at<float>(0), 3, cols, stride};
  std::vector<float> grad(3 * cols, 42), weights{1, 0, 1};
  RowOptions options;
  options.weights = weights;
  CHECK(std::isfinite(Loss{}(student, teacher, MatrixView{grad.data(), 3, cols}, options)));
  CHECK(std::isfinite(Loss{}(student, teacher, options)));
  for (std::size_t j = 0; j < cols; ++j) CHECK(grad[cols + j] == 0);
}

TEST_CASE_TEMPLATE("hidden layers: no samples, or none that count", Loss, DISTILL_TEST_HIDDEN_LOSSES) {
  support::Scores<float, float> scores(support::Kind::random, 2, 6);
  support::Matrix<float> grad(2, 6);
  grad.fill(42);
  const std::vector<float> weights{0, 0};
  RowOptions options;
  options.weights = weights;
  CHECK(Loss{}(scores.student.view(), scores.teacher.view(), grad.view(), options) == 0);
  for (std::size_t i = 0; i < 2; ++i) CHECK(grad.row(i) == reference::Row(6));
  const MatrixView<float> none{nullptr, 0, 6};
  CHECK(Loss{}(none, none, none) == 0);
}

TEST_CASE_TEMPLATE("hidden layers: NaN and infinities poison their own sample only", Loss, DISTILL_TEST_HIDDEN_LOSSES) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const std::size_t cols : std::initializer_list<std::size_t>{2, 30, 1300}) {
    const support::Scores<float, float> whole(support::Kind::random, 3, cols);
    const Outcome expected = run(Loss{}, whole);
    for (const double poison : {std::numeric_limits<double>::quiet_NaN(), infinity, -infinity}) {
      for (const std::size_t j : {std::size_t{0}, cols - 1}) {
        for (const bool in_teacher : {false, true}) {
          support::Scores<float, float> scores = whole;
          if (in_teacher) {
            scores.teacher.set(1, j, poison);
          } else {
            scores.student.set(1, j, poison);
          }
          const Outcome outcome = run(Loss{}, scores);
          CHECK(std::isnan(outcome.total));
          CHECK(std::isnan(outcome.losses[1]));
          for (const long double g : outcome.grad.row(1)) CHECK(std::isnan(g));
          for (const std::size_t i : {std::size_t{0}, std::size_t{2}}) {
            CHECK(outcome.losses[i] == expected.losses[i]);
            CHECK(outcome.grad.row(i) == expected.grad.row(i));
          }
          CHECK(std::isnan(Loss{}(scores.student.view(), scores.teacher.view())));
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("hidden layers: matrices that do not fit, memory that overlaps", Loss, DISTILL_TEST_HIDDEN_LOSSES) {
  std::vector<float> memory(60, 1), teacher(12, 2), weights{1, -1};
  const std::vector<float> before = memory;
  const MatrixView student{memory.data() + 10, 2, 6};
  const MatrixView t{teacher.data(), 2, 6};
  const auto throws = [&](const auto& f, const char* message) { support::check_throws(f, {Loss::name, message}); };
  throws([&] { Loss{}(student, MatrixView{teacher.data(), 1, 6}, student); }, "teacher has ");
  throws([&] { Loss{}(student, MatrixView{static_cast<float*>(nullptr), 2, 6}, student); }, "teacher is null");
  throws([&] { Loss{}(student, t, MatrixView{memory.data() + 30, 2, 4}); }, "grad ");
  for (const std::ptrdiff_t offset : {-3, 3}) {
    throws([&] { Loss{}(student, t, MatrixView{memory.data() + 10 + offset, 2, 6}); }, "grad overlaps student");
  }
  throws([&] { Loss{}(student, t, MatrixView{teacher.data(), 2, 6}); }, "grad overlaps teacher");
  RowOptions options;
  options.weights = weights;
  throws([&] { Loss{}(student, t, student, options); }, "weights[1] is -1");
  Loss infinite;
  infinite.loss.weight = std::numeric_limits<double>::infinity();
  throws([&] { infinite(student, t, student); }, "weight is inf");
  CHECK(memory == before);
}

TEST_CASE_TEMPLATE("hidden layers: nothing is read or written behind the last element", S, DISTILL_TEST_TYPES) {
  const auto check = [](const auto& loss, std::size_t cols) {
    support::Guarded<S> student(2 * cols), teacher(2 * cols), grad(2 * cols);
    for (std::size_t k = 0; k < 2 * cols; ++k) {
      student[k] = support::stored<S>(static_cast<double>(k % 5));
      teacher[k] = support::stored<S>(static_cast<double>(k % 3));
      grad[k] = support::stored<S>(0);
    }
    const MatrixView s{student.data(), 2, cols}, t{teacher.data(), 2, cols}, g{grad.data(), 2, cols};
    CHECK(std::isfinite(loss(s, t)));
    CHECK(std::isfinite(loss(s, t, g)));
    CHECK(std::isfinite(loss(s, t, distill::add_to(g))));
    CHECK(std::isfinite(loss(s, t, s)));
  };
  for (std::size_t cols = 2; cols <= 70; cols += 2) {
    check(support::SquaredMatching{}, cols);
    check(support::NormalizedHuber{}, cols);
    check(support::CosineMatching{}, cols);
    check(support::SquaredAttention{}, cols);
    check(support::EuclideanAttention{}, cols);
  }
}
