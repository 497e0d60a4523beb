// A loss whose header says what its largest value is never exceeds it, however the samples are: in any type.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "exact/losses.hpp"

namespace {

using namespace distill;
using exact::as_maps;
using exact::as_nhwc;
using exact::as_rows;
using exact::Loss;
using exact::loss_of;
using exact::Samples;

/// A loss, and the largest value that a sample has.
template <class T>
struct Bounded {
  Loss<T> loss;
  double largest;
};

template <class L, class Change>
L mean_of(const Change& change) {
  L loss = exact::with<L>(change);
  loss.reduction = Reduction::mean;
  return loss;
}

template <class T>
std::vector<Bounded<T>> bounded_losses() {
  constexpr auto nothing = [](auto&) {};
  constexpr auto cosine = [](auto& loss) { loss.distance = FeatureDistance::cosine; };
  constexpr auto euclidean = [](auto& loss) { loss.distance = AttentionDistance::euclidean; };
  constexpr auto third = [](auto& loss) { loss.beta = 0.3; };
  constexpr auto at_temperature = [](auto& loss) { loss.temperature = 4; };
  const double entropy = -(0.3 * std::log(0.3) + (1 - 0.3) * std::log(1 - 0.3));
  const auto rows = [](const char* name, const auto& loss, double largest) {
    return Bounded<T>{loss_of<T>(name, loss, as_rows), largest};
  };
  const auto maps = [](const char* name, const auto& loss, double largest) {
    return Bounded<T>{loss_of<T>(name, loss, as_maps), largest};
  };
  const auto top_k = [](const char* name, const auto& loss, double largest) {
    return Bounded<T>{{name,
                       [=](auto s, auto t, auto, auto grad, const RowOptions& options) {
                         // the teacher's scores of the first two classes, and a bucket
                         std::vector<T> log_p(t.rows * t.cols), first(2 * t.rows);
                         std::vector<int> classes(2 * t.rows);
                         log_softmax(t, MatrixView{log_p.data(), t.rows, t.cols});
                         for (std::size_t i = 0; i < t.rows; ++i) {
                           for (std::size_t j = 0; j < 2; ++j) {
                             first[2 * i + j] = log_p[i * t.cols + j];
                             classes[2 * i + j] = static_cast<int>(j);
                           }
                         }
                         return loss(s,
                                     sparse_teacher(MatrixView<const int>{classes.data(), t.rows, 2},
                                                    MatrixView<const T>{first.data(), t.rows, 2}),
                                     grad, options);
                       }},
                      largest};
  };
  return {
      rows("TotalVariation", mean_of<TotalVariation>(nothing), 1),
      rows("TotalVariation, T = 4", mean_of<TotalVariation>(at_temperature), 16),
      rows("JensenShannon", mean_of<JensenShannon>(nothing), std::numbers::ln2),
      rows("JensenShannon, beta = 0.3", mean_of<JensenShannon>(third), entropy),
      rows("SkewedKl", mean_of<SkewedKl>(nothing), -std::log(SkewedKl{}.skew)),
      rows("SkewedReverseKl", mean_of<SkewedReverseKl>(nothing), -std::log(SkewedReverseKl{}.skew)),
      rows("AlphaDivergence", mean_of<AlphaDivergence>(nothing), 4),
      rows("UniversalLogit", mean_of<UniversalLogit>(nothing), 2),
      rows("LogitCosine", mean_of<LogitCosine>(nothing), 2),
      top_k("TopKTotalVariation", mean_of<TopKTotalVariation>(nothing), 1),
      top_k("TopKJensenShannon", mean_of<TopKJensenShannon>(nothing), std::numbers::ln2),
      rows("FeatureMatching, cosine", mean_of<FeatureMatching>(cosine), 2),
      maps("AttentionTransfer", mean_of<AttentionTransfer>(nothing), 2),
      maps("AttentionTransfer, euclidean", mean_of<AttentionTransfer>(euclidean), std::numbers::sqrt2),
      {loss_of<T>("AttentionTransfer, NHWC", mean_of<AttentionTransfer>(nothing), as_nhwc), 2},
      rows("SimilarityPreserving", mean_of<SimilarityPreserving>(nothing), 4),
      maps("ChannelGram", mean_of<ChannelGram>(nothing), 8),
      rows("LinearCka", mean_of<LinearCka>(nothing), 1),
  };
}

/// Pairs of samples that are as far apart as can be, or nearly.
template <class T>
void for_each_hostile_pair(std::size_t cols, const auto& body) {
  constexpr std::size_t rows = 5;
  for (unsigned seed = 0; seed < 6; ++seed) {
    const double sizes[] = {1e-3, 1, 40, 1e4};
    for (const double size : sizes) {
      const Samples<T> student = exact::random_samples<T>(rows, cols, seed, 0, size);
      Samples<T> opposite = student, even = student, odd = student, disjoint = student;
      Samples<T> other = exact::random_samples<T>(rows, cols, seed + 99, 0, size);
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          opposite.set(i, j, -student.at(i, j));
          even.set(i, j, j % 2 == 0 ? std::abs(student.at(i, j)) : -size);
          odd.set(i, j, j % 2 == 1 ? std::abs(student.at(i, j)) : -size);
          disjoint.set(i, j, (i + j) % 2 == 0 ? std::abs(student.at(i, j)) : 0);
          other.set(i, j, (i + j) % 2 == 1 ? std::abs(student.at(i, j)) : 0);
        }
      }
      body(student, opposite);
      body(even, odd);
      body(disjoint, other);
    }
  }
  const double huge = std::is_same_v<T, half> ? 6e4 : 1e18;
  for (const double size : {1.0, 100.0, huge}) {
    Samples<T> first(rows, cols), last(rows, cols);
    for (std::size_t i = 0; i < rows; ++i) {
      first.set(i, 0, size);
      last.set(i, cols - 1, i % 2 == 0 ? size : -size);
    }
    body(first, last);
    body(first, first);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("losses stay within their ranges", T, float, double, half, bfloat16) {
  const std::vector<float> none, some{1, 0.3f, 2, 0, 0.7f};
  for (const auto& [loss, largest] : bounded_losses<T>()) {
    double most = 0;
    for (const std::size_t cols : {std::size_t{2}, std::size_t{3}, std::size_t{16}, std::size_t{38}}) {
      for_each_hostile_pair<T>(cols, [&](const Samples<T>& student, const Samples<T>& teacher) {
        for (const auto& weights : {none, some}) {
          CAPTURE(loss.name);
          CAPTURE(cols);
          const auto answer = loss(student, teacher, weights);
          for (const double own : answer.losses) {
            CHECK(own >= 0);
            CHECK(own <= largest);
            most = (std::max)(most, own);
          }
          CHECK(answer.value >= 0);
          // a mean of equal doubles may be rounded
          CHECK(answer.value <= largest * (1 + 4 * std::numeric_limits<double>::epsilon()));
        }
      });
    }
    CAPTURE(loss.name);
    CHECK(most >= 0.2 * largest);  // the samples are hostile enough
  }
}

TEST_CASE_TEMPLATE("probabilities are within [0, 1], their logarithms at most 0", T, float, double) {
  for (const std::size_t cols : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{16}, std::size_t{38}}) {
    for (unsigned seed = 0; seed < 300; ++seed) {
      for (const double size : {1e-3, 1.0, 10.0, 1e4}) {
        Samples<T> scores = exact::random_samples<T>(2, cols, seed, 0, size), out(2, cols);
        for (std::size_t j = 1; j < cols; ++j) scores.set(0, j, scores.at(0, j) - 10 * size);
        const MatrixView<T> x{scores.numbers.data(), 2, cols}, y{out.numbers.data(), 2, cols};
        softmax(x, y);
        for (const T p : out.numbers) CHECK((p >= 0 && p <= 1));
        log_softmax(x, y);
        for (const T p : out.numbers) CHECK(p <= 0);
      }
    }
  }
}
