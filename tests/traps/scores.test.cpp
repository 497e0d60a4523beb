// Losses on class scores: finite input raises no FE_INVALID, FE_DIVBYZERO or FE_OVERFLOW, which people trap to find NaN.
#include <doctest/doctest.h>

#include <array>
#include <cfenv>
#include <cstddef>
#include <distill/distill.hpp>
#include <limits>
#include <string>
#include <vector>

#include "traps/traps.hpp"

namespace {

using traps::Batch;
using traps::check_quiet;
using traps::Kind;

/// Calls of a loss: with a gradient, and without.
template <class S>
struct Calls {
  const Batch<S>& b;

  template <class Loss>
  void pair(const std::string& name, const Loss& loss) const {
    check_quiet(b, name, [&] { return loss(b.s(), b.t(), b.g()); });
    check_quiet(b, name, [&] { return loss(b.s(), b.t()); });
  }
  template <class Loss>
  void labelled(const std::string& name, const Loss& loss) const {
    check_quiet(b, name, [&] { return loss(b.s(), b.t(), b.labels, b.g()); });
    check_quiet(b, name, [&] { return loss(b.s(), b.t(), b.labels); });
  }
};

/// One of each kind of row.
template <class S>
void check_some(const Batch<S>& b) {
  using namespace distill;
  const Calls<S> calls{b};
  for (const double temperature : {1.0, 4.0, 0.1, 1e-20, 1e4}) {
    if (b.cols > 33 && (temperature < 0.1 || temperature > 100)) continue;  // slow, and the same as for short rows
    check_quiet(b, "softmax", [&] { return softmax(b.s(), b.g(), temperature), 0; });
    check_quiet(b, "softmax_backward", [&] { return softmax_backward(b.g(), b.g(), b.g(), temperature), 0; });
    check_quiet(b, "log_softmax", [&] { return log_softmax(b.s(), b.g(), temperature), 0; });
    check_quiet(b, "log_softmax_backward", [&] { return log_softmax_backward(b.g(), b.g(), b.g(), temperature), 0; });
    calls.pair("KlDivergence", KlDivergence{.temperature = temperature});
    calls.labelled("KnowledgeDistillation", KnowledgeDistillation{.temperature = temperature});
    calls.pair("JensenShannon", JensenShannon{.temperature = temperature});
    calls.labelled("DecoupledKd", DecoupledKd{.temperature = temperature});
    calls.pair("BinaryKl", BinaryKl{.temperature = temperature});
  }
  calls.pair("Dist", Dist{});
  calls.pair("LogitCosine", LogitCosine{});
  calls.pair("KlDivergence, standardised", KlDivergence{.logits = {.standardize = Standardize::unbiased}});
}

template <class S>
void check_others(const Batch<S>& b) {
  using namespace distill;
  const Calls<S> calls{b};
  for (const double temperature : {1.0, 4.0, 0.1, 1e-20, 1e4}) {
    if (b.cols > 33 && (temperature < 0.1 || temperature > 100)) continue;
    calls.pair("KlDivergence, high", KlDivergence{.temperature = temperature, .precision = Precision::high});
    calls.labelled("KnowledgeDistillation, high",
                   KnowledgeDistillation{.temperature = temperature, .precision = Precision::high});
    calls.pair("ReverseKl", ReverseKl{.temperature = temperature});
    calls.pair("SymmetricKl", SymmetricKl{.temperature = temperature});
    calls.pair("SkewedKl", SkewedKl{.temperature = temperature});
    calls.pair("SkewedReverseKl", SkewedReverseKl{.temperature = temperature});
    calls.pair("TotalVariation", TotalVariation{.temperature = temperature});
    calls.pair("AlphaDivergence", AlphaDivergence{.temperature = temperature});
  }
  calls.pair("KlDivergence, cross entropy", KlDivergence{.subtract_teacher_entropy = false});
  for (const LogitTransform& logits :
       {LogitTransform{.standardize = Standardize::unbiased}, LogitTransform{.scale = 0.5, .soft_cap = 30}}) {
    calls.pair("KlDivergence, transformed", KlDivergence{.logits = logits});
    calls.labelled("KnowledgeDistillation, transformed", KnowledgeDistillation{.logits = logits});
    calls.pair("JensenShannon, transformed", JensenShannon{.logits = logits});
  }
  calls.pair("AlphaDivergence, 2", AlphaDivergence{.alpha = 2});
  calls.pair("AlphaDivergence, -1", AlphaDivergence{.alpha = -1});
  calls.pair("AlphaDivergence, 0", AlphaDivergence{.alpha = 0});
  calls.pair("AlphaDivergence, 1", AlphaDivergence{.alpha = 1});
  calls.pair("JensenShannon, 0.1", JensenShannon{.beta = 0.1});
  calls.pair("AdaptiveKl", AdaptiveKl{});
  calls.labelled("WeightedSoftLabel", WeightedSoftLabel{});
  calls.pair("MultiLevel", MultiLevel{});
  calls.pair("UniversalLogit", UniversalLogit{});
  if (b.kind != Kind::huge) calls.pair("LogitMse", LogitMse{});  // a gradient of more than the largest number
  for (const double smoothing : {0.0, 0.1}) {
    const CrossEntropy loss{.label_smoothing = smoothing};
    check_quiet(b, "CrossEntropy", [&] { return loss(b.s(), b.labels, b.g()); });
    check_quiet(b, "CrossEntropy", [&] { return loss(b.s(), b.labels); });
  }
  const std::array teachers{weighted(b.t(), 0.5), weighted(b.s(), 0.25), weighted(b.t(), 0)};
  check_quiet(b, "KlDivergence, teachers", [&] { return KlDivergence{}(b.s(), teachers, b.g()); });
  check_quiet(b, "JensenShannon, teachers", [&] { return JensenShannon{}(b.s(), teachers, b.g()); });

  const std::size_t k = b.cols < 3 ? b.cols : 3;
  std::vector<int> indices(b.rows * k);
  std::vector<float> log_p(b.rows * k);
  for (std::size_t i = 0; i < b.rows * k; ++i) {
    indices[i] = static_cast<int>(i % k);
    log_p[i] = -1.5f - static_cast<float>(i % k);
  }
  const auto sparse = sparse_teacher(MatrixView<const int>{indices.data(), b.rows, k},
                                     MatrixView<const float>{log_p.data(), b.rows, k});
  const auto top_k = [&](const std::string& name, auto loss) {
    for (const Tail tail : {Tail::renormalise_teacher, Tail::renormalise_both, Tail::tail_bucket, Tail::truncate}) {
      loss.tail = tail;
      check_quiet(b, name, [&] { return loss(b.s(), sparse, b.g()); });
    }
  };
  top_k("TopKKl", TopKKl{});
  top_k("TopKReverseKl", TopKReverseKl{});
  top_k("TopKJensenShannon", TopKJensenShannon{});
  top_k("TopKTotalVariation", TopKTotalVariation{});
  const std::vector<float> token_log_p(b.rows, -2);
  const auto tokens = sampled_tokens(b.labels, token_log_p);
  check_quiet(b, "SampledTokenReverseKl", [&] { return SampledTokenReverseKl{}(b.s(), tokens, b.g()); });
}

}  // namespace

TEST_CASE_TEMPLATE("finite class scores raise no floating-point exception", S, float, double, distill::half,
                   distill::bfloat16) {
  for (const std::size_t cols : {1, 2, 3, 7, 8, 9, 16, 31, 33, 100, 128, 129, 300, 1000}) {
    for (const Kind kind : traps::all_kinds) {
      const Batch<S> batch(kind, cols <= 128 ? 19 : 3, cols);
      check_some(batch);
      if constexpr (traps::tries_all<S>) check_others(batch);
    }
  }
}

namespace {

struct ThreeClasses {
  std::vector<float> student{1, 2, 3}, teacher{3, 1, 2}, grad{0, 0, 0};
  std::vector<int> labels{1};
  distill::MatrixView<const float> s{student.data(), 1, 3}, t{teacher.data(), 1, 3};
  distill::MatrixView<float> g{grad.data(), 1, 3};
};

}  // namespace

#if defined(__GLIBC__)
TEST_CASE("three classes do not trap, on one thread or on an executor") {
  using namespace distill;
  ThreeClasses x;
  const auto backwards = [](std::size_t n, LoopBody body) {
    while (n > 0) body(--n);
  };
  std::feclearexcept(FE_ALL_EXCEPT);
  feenableexcept(traps::trapped);
  double sum = 0;
  for (const RowOptions& options : {RowOptions{}, RowOptions{.executor = backwards}}) {
    sum += JensenShannon{}(x.s, x.t, x.g, options) + ReverseKl{}(x.s, x.t, x.g, options) +
           DecoupledKd{}(x.s, x.t, x.labels, x.g, options) + BinaryKl{}(x.s, x.t, x.g, options) +
           TotalVariation{}(x.s, x.t, x.g, options) + KnowledgeDistillation{}(x.s, x.t, x.labels, x.g, options);
  }
  const int still_trapped = fedisableexcept(traps::trapped);
  CHECK(sum > 0);
  CHECK(still_trapped == traps::trapped);
}
#endif

TEST_CASE("a loss of NaN raises FE_INVALID, and what was raised before a call stays") {
  using namespace distill;
  ThreeClasses x;
  CHECK(traps::raised([&] { return KlDivergence{}(x.s, x.t, x.g); }).empty());
  std::feraiseexcept(FE_OVERFLOW);
  KlDivergence{}(x.s, x.t, x.g);
  CHECK(std::fetestexcept(traps::trapped) == FE_OVERFLOW);
  x.student[1] = std::numeric_limits<float>::quiet_NaN();
  CHECK(traps::raised([&] { return KlDivergence{}(x.s, x.t, x.g); }) == " FE_INVALID");
  CHECK(traps::raised([&] { return Dist{}(x.s, x.t, x.g); }) == " FE_INVALID");
  CHECK(traps::raised([&] { return FeatureMatching{}(x.s, x.t, x.g); }) == " FE_INVALID");
}
