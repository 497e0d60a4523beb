// What must vanish does, in programs that were compiled with -ffp-contract=off, on and fast alike: where student and
// teacher agree, losses and gradients are exactly 0; equal samples have no gradient from one another.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "exact/losses.hpp"

namespace {

using namespace distill;
using exact::as_maps;
using exact::as_nhwc;
using exact::as_rows;
using exact::labelled;
using exact::Loss;
using exact::loss_of;
using exact::random_samples;
using exact::Samples;
using exact::with;

/// Where student and teacher are equal, value and gradient are 0.
template <class T>
std::vector<Loss<T>> losses_of_scores() {
  const auto standardised = [](auto loss) {
    loss.logits.standardize = Standardize::unbiased;
    loss.logits.soft_cap = 3;
    return loss;
  };
  const auto kl = with<KlDivergence>([](auto& loss) { loss.temperature = 3; });
  const auto kl_high = with<KlDivergence>([](auto& loss) {
    loss.temperature = 3;
    loss.precision = Precision::high;
  });
  return {
      loss_of<T>("KlDivergence", kl, as_rows),
      loss_of<T>("KlDivergence, high", kl_high, as_rows),
      loss_of<T>("KlDivergence, standardised", standardised(kl), as_rows),
      labelled<T>("KnowledgeDistillation", with<KnowledgeDistillation>([](auto& loss) { loss.alpha = 1; })),
      loss_of<T>("ReverseKl", ReverseKl{}, as_rows),
      loss_of<T>("SymmetricKl", SymmetricKl{}, as_rows),
      loss_of<T>("JensenShannon", with<JensenShannon>([](auto& loss) { loss.beta = 0.3; }), as_rows),
      loss_of<T>("SkewedKl", SkewedKl{}, as_rows),
      loss_of<T>("SkewedReverseKl", SkewedReverseKl{}, as_rows),
      loss_of<T>("AlphaDivergence", with<AlphaDivergence>([](auto& loss) { loss.alpha = 0.3; }), as_rows),
      loss_of<T>("TotalVariation", standardised(TotalVariation{}), as_rows),
      loss_of<T>("AdaptiveKl", AdaptiveKl{}, as_rows),
      loss_of<T>("BinaryKl", BinaryKl{}, as_rows),
      labelled<T>("DecoupledKd", DecoupledKd{}),
      labelled<T>("WeightedSoftLabel", WeightedSoftLabel{}),
      loss_of<T>("UniversalLogit", UniversalLogit{}, as_rows),
      loss_of<T>("LogitMse", LogitMse{}, as_rows),
      loss_of<T>("LogitCosine", LogitCosine{}, as_rows),
      loss_of<T>("Dist", Dist{}, as_rows),
      loss_of<T>("MultiLevel", MultiLevel{}, as_rows),
  };
}

template <class T>
std::vector<Loss<T>> losses_of_features() {
  const auto matching = [](FeatureDistance distance) {
    FeatureMatching loss;
    loss.distance = distance;
    loss.normalize = true;
    return loss;
  };
  const auto factor = [](FactorDistance distance) {
    FactorTransfer loss;
    loss.distance = distance;
    return loss;
  };
  const auto cubes = with<AttentionTransfer>([](auto& loss) {
    loss.power = 3;
    loss.distance = AttentionDistance::euclidean;
  });
  const auto energy = with<FactorTransfer>([](auto& loss) { loss.factor = Factor::energy; });
  const auto selectivity = with<NeuronSelectivity>([](auto& loss) { loss.kernel = SelectivityKernel::linear; });
  const auto margin_relu = [](auto s, auto t, auto, auto grad, const RowOptions& options) {
    const std::vector<T> margins(2, static_cast<T>(-100));
    const auto maps = as_maps(s);
    const MatrixView<const T> row{margins.data(), 1, maps.channels};
    return MarginRelu{}(maps, as_maps(t), row, as_maps(grad), options);
  };
  return {
      loss_of<T>("FeatureMatching, squared", FeatureMatching{}, as_rows),
      loss_of<T>("FeatureMatching, unit squared", matching(FeatureDistance::squared), as_rows),
      loss_of<T>("FeatureMatching, unit absolute", matching(FeatureDistance::absolute), as_rows),
      loss_of<T>("FeatureMatching, unit huber", matching(FeatureDistance::huber), as_rows),
      loss_of<T>("FeatureMatching, cosine", matching(FeatureDistance::cosine), as_rows),
      loss_of<T>("AttentionTransfer", AttentionTransfer{}, as_maps),
      loss_of<T>("AttentionTransfer, NHWC", AttentionTransfer{}, as_nhwc),
      loss_of<T>("AttentionTransfer, power 3", cubes, as_maps),
      loss_of<T>("FactorTransfer", factor(FactorDistance::absolute), as_maps),
      loss_of<T>("FactorTransfer, NHWC", factor(FactorDistance::euclidean), as_nhwc),
      loss_of<T>("FactorTransfer, energy", energy, as_maps),
      loss_of<T>("PearsonFeatures", PearsonFeatures{}, as_maps),
      loss_of<T>("PearsonFeatures, epsilon", with<PearsonFeatures>([](auto& loss) { loss.epsilon = 1e-3; }), as_nhwc),
      loss_of<T>("Review", Review{}, as_maps),
      loss_of<T>("ChannelWise", ChannelWise{}, as_maps),
      loss_of<T>("NeuronSelectivity, linear", selectivity, as_maps),
      loss_of<T>("AttentionMatrix", AttentionMatrix{}, as_maps),
      loss_of<T>("AttentionMatrix, kl",
                 with<AttentionMatrix>([](auto& loss) { loss.distance = AttentionMatrixDistance::kl; }), as_maps),
      {"MarginRelu", margin_relu},
  };
}

template <class T>
std::vector<Loss<T>> losses_of_batches() {
  const auto congruence = [](CongruenceKernel kernel, bool normalize) {
    CorrelationCongruence loss;
    loss.kernel = kernel;
    loss.normalize = normalize;
    return loss;
  };
  const auto distance = [](bool squared, bool normalize) {
    RelationalDistance loss;
    loss.squared = squared;
    loss.normalize = normalize;
    return loss;
  };
  return {
      loss_of<T>("SimilarityPreserving", SimilarityPreserving{}, as_rows),
      loss_of<T>("ChannelGram", ChannelGram{}, as_maps),
      loss_of<T>("CorrelationCongruence, gaussian", congruence(CongruenceKernel::gaussian, true), as_rows),
      loss_of<T>("CorrelationCongruence, bilinear", congruence(CongruenceKernel::bilinear, false), as_rows),
      loss_of<T>("ProbabilisticTransfer", ProbabilisticTransfer{}, as_rows),
      loss_of<T>("LinearCka", LinearCka{}, as_rows),
      loss_of<T>("RelationalDistance", distance(false, false), as_rows),
      loss_of<T>("RelationalDistance, squared", distance(true, false), as_rows),
      loss_of<T>("RelationalDistance, normalised", distance(false, true), as_rows),
      loss_of<T>("RelationalAngle", RelationalAngle{}, as_rows),
      loss_of<T>("RelationalAngle, normalised", with<RelationalAngle>([](auto& loss) { loss.normalize = true; }),
                 as_rows),
      loss_of<T>("ValueRelation", with<ValueRelation>([](auto& loss) { loss.relation_heads = 1; }), as_nhwc),
  };
}

constexpr std::size_t widths[] = {2, 6, 16, 33, 40};  // whole vectors, and what is left
const std::vector<float> no_weights, some_weights{1, 0.3f, 2, 0, 0.7f};

template <class T>
void check_equal(const std::vector<Loss<T>>& losses) {
  for (const Loss<T>& loss : losses) {
    for (const std::size_t cols : widths) {
      for (unsigned seed = 0; seed < 8; ++seed) {
        for (const auto& weights : {no_weights, some_weights}) {
          CAPTURE(loss.name);
          CAPTURE(cols);
          CAPTURE(seed);
          const Samples<T> samples = random_samples<T>(5, cols, seed);
          const auto answer = loss(samples, samples, weights);
          CHECK(answer.value == 0);
          for (const double own : answer.losses) CHECK(own == 0);
          CHECK(answer.largest_gradient() == 0);
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("equal scores of student and teacher: exactly 0") {
  check_equal<float>(losses_of_scores<float>());
}

TEST_CASE("equal features of student and teacher: exactly 0") {
  check_equal<float>(losses_of_features<float>());
}

TEST_CASE_TEMPLATE("equal batches of student and teacher: exactly 0", T, float, double) {
  check_equal<T>(losses_of_batches<T>());
}

TEST_CASE_TEMPLATE("two equal samples in a batch have no gradient from one another", T, float, double) {
  for (const Loss<T>& loss : losses_of_batches<T>()) {
    for (const std::size_t cols : widths) {
      for (unsigned seed = 0; seed < 20; ++seed) {
        CAPTURE(loss.name);
        CAPTURE(cols);
        CAPTURE(seed);
        Samples<T> student = random_samples<T>(5, cols, seed), teacher = random_samples<T>(5, cols, seed + 100);
        const double apart = loss(student, teacher).largest_gradient();
        student.copy_row(0, 3);
        if (seed % 2 == 0) teacher.copy_row(1, 2);
        const double equal = loss(student, teacher).largest_gradient();
        student.set(3, 0, student.at(3, 0) * 1.5);
        const double near = loss(student, teacher).largest_gradient();
        CHECK(equal <= 100 * (apart + near));  // 1e15, with a distance of 1e-16 in place of 0
      }
    }
  }
}

TEST_CASE_TEMPLATE("samples of one direction are equal at unit length", T, float, double) {
  const auto normalised = [](auto loss) {
    loss.normalize = true;
    return loss;
  };
  const std::vector<Loss<T>> losses{loss_of<T>("RelationalDistance", normalised(RelationalDistance{}), as_rows),
                                    loss_of<T>("RelationalAngle", normalised(RelationalAngle{}), as_rows)};
  for (const Loss<T>& loss : losses) {
    for (const std::size_t cols : widths) {
      for (unsigned seed = 0; seed < 20; ++seed) {
        CAPTURE(loss.name);
        CAPTURE(cols);
        CAPTURE(seed);
        Samples<T> student(5, cols);
        const Samples<T> first = random_samples<T>(1, cols, seed), teacher = random_samples<T>(5, cols, seed + 100);
        for (std::size_t i = 0; i < 5; ++i) {
          for (std::size_t j = 0; j < cols; ++j) {
            student.set(i, j, static_cast<double>(i + 1) * std::round(1024 * first.at(0, j)));
          }
        }
        CHECK(loss(student, teacher).largest_gradient() == 0);
      }
    }
  }
}

// The rounding error of a sum grows with the numbers added; that of a length must not.
TEST_CASE_TEMPLATE("samples of one direction are equal at unit length, however wide they are", T, float, double) {
  const auto normalised = [](auto loss) {
    loss.normalize = true;
    loss.reduction = Reduction::sum;
    return loss;
  };
  const std::vector<Loss<T>> losses{loss_of<T>("RelationalDistance", normalised(RelationalDistance{}), as_rows),
                                    loss_of<T>("RelationalAngle", normalised(RelationalAngle{}), as_rows)};
  for (const Loss<T>& loss : losses) {
    for (const std::size_t cols : {512, 1000, 2048, 25088}) {
      for (const double factor : {1, 2, 3, 5, 7}) {
        CAPTURE(loss.name);
        CAPTURE(cols);
        CAPTURE(factor);
        Samples<T> student = random_samples<T>(4, cols, 1);
        for (std::size_t j = 0; j < cols; ++j) {
          student.set(0, j, static_cast<double>(0.1f));
          student.set(1, j, factor * static_cast<double>(0.1f));
        }
        CHECK(loss(student, random_samples<T>(4, cols, 2)).largest_gradient() < 10);
      }
    }
  }
}

TEST_CASE_TEMPLATE("a batch of equal samples has no gradient", T, float, double) {
  const auto normalised = [](auto loss) {
    loss.normalize = true;
    return loss;
  };
  const std::vector<Loss<T>> losses{
      loss_of<T>("RelationalDistance", RelationalDistance{}, as_rows),
      loss_of<T>("RelationalDistance, normalised", normalised(RelationalDistance{}), as_rows),
      loss_of<T>("RelationalAngle", RelationalAngle{}, as_rows),
      loss_of<T>("RelationalAngle, normalised", normalised(RelationalAngle{}), as_rows),
      loss_of<T>("LinearCka", LinearCka{}, as_rows),
  };
  for (const Loss<T>& loss : losses) {
    for (const std::size_t cols : widths) {
      for (unsigned seed = 0; seed < 20; ++seed) {
        for (const auto& weights : {no_weights, some_weights}) {
          CAPTURE(loss.name);
          CAPTURE(cols);
          CAPTURE(seed);
          Samples<T> student = random_samples<T>(5, cols, seed);
          for (std::size_t i = 1; i < 5; ++i) student.copy_row(0, i);
          const auto answer = loss(student, random_samples<T>(5, cols, seed + 100), weights);
          CHECK(answer.largest_gradient() == 0);
          if (loss.name == "LinearCka") CHECK(answer.value == 1);
        }
      }
    }
  }
}

TEST_CASE("what is constant has no gradient: channels, classes, rows of logits") {
  using T = float;
  const auto standardised = [](auto loss) {
    loss.logits.standardize = Standardize::biased;
    return loss;
  };
  const std::vector<Loss<T>> losses{
      loss_of<T>("PearsonFeatures", PearsonFeatures{}, as_maps),
      loss_of<T>("PearsonFeatures, NHWC", with<PearsonFeatures>([](auto& loss) { loss.epsilon = 1e-3; }), as_nhwc),
      loss_of<T>("Dist", Dist{}, as_rows),
      loss_of<T>("KlDivergence", standardised(KlDivergence{}), as_rows),
      loss_of<T>("ReverseKl", standardised(ReverseKl{}), as_rows),
  };
  for (const Loss<T>& loss : losses) {
    for (const std::size_t cols : widths) {
      for (unsigned seed = 0; seed < 20; ++seed) {
        for (const auto& weights : {no_weights, some_weights}) {
          CAPTURE(loss.name);
          CAPTURE(cols);
          CAPTURE(seed);
          const double number = random_samples<T>(1, 1, seed, 3).at(0, 0);
          Samples<T> student(5, cols);
          for (std::size_t i = 0; i < 5; ++i) {
            for (std::size_t j = 0; j < cols; ++j) student.set(i, j, number);
          }
          CHECK(loss(student, random_samples<T>(5, cols, seed + 100), weights).largest_gradient() == 0);
        }
      }
    }
  }
}

TEST_CASE_TEMPLATE("a row of equal logits that are standardised has no gradient, however long", T, float, double) {
  for (const Standardize standardize : {Standardize::biased, Standardize::unbiased}) {
    KlDivergence kl;
    kl.logits.standardize = standardize;
    kl.logits.epsilon = 0;
    const Loss<T> loss = loss_of<T>("KlDivergence", kl, as_rows);
    for (const std::size_t cols : {10, 1000, 32000, 50257}) {
      const Samples<T> teacher = random_samples<T>(1, cols, 1);
      for (const double number : {0.1, 1.7, -7.7, 100.3}) {
        CAPTURE(cols);
        CAPTURE(number);
        Samples<T> student(1, cols);
        for (std::size_t j = 0; j < cols; ++j) student.set(0, j, number);
        CHECK(loss(student, teacher).largest_gradient() == 0);
        student.set(0, 0, -std::numeric_limits<double>::infinity());  // a class that is masked
        CHECK(loss(student, teacher).largest_gradient() == 0);
      }
    }
  }
}
