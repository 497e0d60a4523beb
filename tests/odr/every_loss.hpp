// Calls every loss, value and gradient, and compares with numbers that were computed elsewhere. Without any of the
// standard library's templates, and with internal linkage, so that an object file holds the library's symbols only.
#pragma once

#include <cmath>
#include <cstdio>
#include <distill/distill.hpp>

namespace {

constexpr int rows = 2, cols = 19;

/// `x` as a scalar of any type.
template <class S>
S scalar(double x) {
  S result{};
  distill::detail::store_scalar(&result, x);
  return result;
}

template <class S>
struct Data {
  S student[rows * cols], teacher[rows * cols], grad[rows * cols];
  int labels[rows] = {3, 17};

  Data() {
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < cols; ++j) {
        student[i * cols + j] = scalar<S>(((7 * i + 5 * j) % 11) * 0.25 - 1);
        teacher[i * cols + j] = scalar<S>(((3 * i + 4 * j) % 7) * 0.5 - 1.5);
        grad[i * cols + j] = scalar<S>(0);
      }
    }
  }
};

/// The value, and the sum of gradient elements times 1, 2, 3, 4, 5, 1, 2, ...
template <class S, class Call>
bool is_right(const char* name, const Call& call, double value, double gradient) {
  Data<S> d;
  const auto view = [](S* data) { return distill::MatrixView<S>{data, rows, cols}; };
  const double v = call(view(d.student), view(d.teacher), distill::LabelsView<int>{d.labels, rows}, view(d.grad));
  double g = 0;
  for (int k = 0; k < rows * cols; ++k) g += distill::detail::load_scalar<double>(d.grad + k) * (k % 5 + 1);
  const bool right = std::abs(v - value) <= 2e-6 && std::abs(g - gradient) <= 2e-6 * (1 + std::abs(gradient));
  if (!right) std::printf("%s: value %.9f, gradient %.9f; expected %.9f, %.9f\n", name, v, g, value, gradient);
  return right;
}

/// A row as one channel.
template <class S>
distill::FeatureMapView<S> maps(distill::MatrixView<S> m) {
  return {m.data, m.rows, 1, m.cols};
}

/// A row as one head of one query.
template <class S>
distill::FeatureMapView<S> attention(distill::MatrixView<S> m) {
  return {m.data, m.rows, 1, 1, m.cols};
}

/// The first 18 numbers of a row as three heads of two queries and three keys.
template <class S>
distill::FeatureMapView<S> heads(distill::MatrixView<S> m) {
  return {m.data, m.rows, 3, 2, 3, 1, 6, m.cols};
}

/// A new loss is one line here: name, call, value, gradient.
template <class S>
bool every_loss_is_right() {
  using namespace distill;
  // clang-format off
  const bool all[] = {
    is_right<S>("KlDivergence", [](auto s, auto t, auto, auto g) { KlDivergence loss; loss.temperature = 2; return loss(s, t, g); }, 0.533629213222, 0.459429841763),
    is_right<S>("KnowledgeDistillation", [](auto s, auto t, auto l, auto g) { return KnowledgeDistillation{}(s, t, l, g); }, 0.82268902416, 0.406343147231),
    is_right<S>("CrossEntropy", [](auto s, auto, auto l, auto g) { return CrossEntropy{}(s, l, g); }, 3.519287288252, -0.014678306966),
    is_right<S>("ReverseKl", [](auto s, auto t, auto, auto g) { ReverseKl loss; loss.temperature = 2; return loss(s, t, g); }, 0.533556406633, 0.484595401568),
    is_right<S>("SymmetricKl", [](auto s, auto t, auto, auto g) { SymmetricKl loss; loss.temperature = 2; return loss(s, t, g); }, 0.533592809927, 0.472012621822),
    is_right<S>("JensenShannon", [](auto s, auto t, auto, auto g) { JensenShannon loss; loss.temperature = 2; loss.beta = 0.3; return loss(s, t, g); }, 0.109676894796, 0.092848453195),
    is_right<S>("SkewedKl", [](auto s, auto t, auto, auto g) { SkewedKl loss; loss.temperature = 2; return loss(s, t, g); }, 0.424651209489, 0.359246040987),
    is_right<S>("SkewedReverseKl", [](auto s, auto t, auto, auto g) { SkewedReverseKl loss; loss.temperature = 2; return loss(s, t, g); }, 0.424437065162, 0.371811207614),
    is_right<S>("TotalVariation", [](auto s, auto t, auto, auto g) { TotalVariation loss; loss.temperature = 2; return loss(s, t, g); }, 0.840628455132, 0.241261612349),
    is_right<S>("AlphaDivergence", [](auto s, auto t, auto, auto g) { AlphaDivergence loss; loss.temperature = 2; return loss(s, t, g); }, 0.526749274441, 0.457127792974),
    is_right<S>("DecoupledKd", [](auto s, auto t, auto l, auto g) { return DecoupledKd{}(s, t, l, g); }, 4.184892429653, 4.271082131480),
    is_right<S>("AdaptiveKl", [](auto s, auto t, auto, auto g) { AdaptiveKl loss; loss.temperature = 2; return loss(s, t, g); }, 0.533583133103, 0.472858658834),
    is_right<S>("WeightedSoftLabel", [](auto s, auto t, auto l, auto g) { return WeightedSoftLabel{}(s, t, l, g); }, 0.364920396124, 0.313541728333),
    is_right<S>("LogitMse", [](auto s, auto t, auto, auto g) { return LogitMse{}(s, t, g); }, 1.113486842105, 2.828947368421),
    is_right<S>("LogitCosine", [](auto s, auto t, auto, auto g) { return LogitCosine{}(s, t, g); }, 0.648739305388, 1.070528174583),
    is_right<S>("BinaryKl", [](auto s, auto t, auto, auto g) { return BinaryKl{}(s, t, g); }, 2.277252310558, 5.829268952096),
    is_right<S>("Dist", [](auto s, auto t, auto, auto g) { return Dist{}(s, t, g); }, 1.568813340430, 0.561132173293),
    is_right<S>("MultiLevel", [](auto s, auto t, auto, auto g) { MultiLevel loss; loss.temperature = 1; return loss(s, t, g); }, 0.000954955002, -0.000446722492),
    is_right<S>("TopKKl", [](auto s, auto, auto, auto g) { const int id[] = {4, 9, 9, 4}; const S p[] = {scalar<S>(-0.5), scalar<S>(-1.5), scalar<S>(-1.5), scalar<S>(-0.5)}; return TopKKl{}(s, sparse_teacher(MatrixView<const int>{id, 2, 2}, MatrixView<const S>{p, 2, 2}), g); }, 1.518952010014, -1.222199631301),
    is_right<S>("UniversalLogit", [](auto s, auto t, auto, auto g) { return UniversalLogit{}(s, t, g); }, 0.167509879188, 0.002362271455),
    is_right<S>("SampledTokenReverseKl", [](auto s, auto, auto l, auto g) { const S p[] = {scalar<S>(-1), scalar<S>(-2)}; return SampledTokenReverseKl{}(s, sampled_tokens(l, MatrixView<const S>{p, 1, 2}), g); }, -2.019287288252, -0.514275714814),
    is_right<S>("FeatureMatching, squared", [](auto s, auto t, auto, auto g) { return FeatureMatching{}(s, t, g); }, 1.113486842105, 2.828947368421),
    is_right<S>("FeatureMatching, smooth_l1", [](auto s, auto t, auto, auto g) { FeatureMatching loss; loss.distance = FeatureDistance::smooth_l1; loss.delta = 0.5; return loss(s, t, g); }, 0.648026315789, 1.039473684211),
    is_right<S>("FeatureMatching, cosine", [](auto s, auto t, auto, auto g) { FeatureMatching loss; loss.distance = FeatureDistance::cosine; return loss(s, t, g); }, 0.648739305388, 1.070528174583),
    is_right<S>("AttentionMatrix, kl", [](auto s, auto t, auto, auto g) { AttentionMatrix loss; loss.distance = AttentionMatrixDistance::kl; return loss(attention(s), attention(t), attention(g)); }, 0.522966437629, 0.441525449288),
    is_right<S>("AttentionMatrix, squared", [](auto s, auto t, auto, auto g) { AttentionMatrix loss; loss.heads = AttentionHeads::mean; loss.causal = true; return loss(heads(s), heads(t), heads(g)); }, 0.197916666667, 1.629629629630),
    is_right<S>("ChannelWise", [](auto s, auto t, auto, auto g) { return ChannelWise{}(maps(s), maps(t), maps(g)); }, 0.522966437629, 0.441525450),
    is_right<S>("PearsonFeatures", [](auto s, auto t, auto, auto g) { return PearsonFeatures{}(maps(s), maps(t), maps(g)); }, 0.590820103699, 0.483164852),
    is_right<S>("MarginRelu", [](auto s, auto t, auto, auto g) { const S margin = scalar<S>(-0.75); return MarginRelu{}(maps(s), maps(t), MatrixView<const S>{&margin, 1, 1}, maps(g)); }, 16, 41.75),
    is_right<S>("ActivationBoundary", [](auto s, auto t, auto, auto g) { return ActivationBoundary{}(s, t, g); }, 23.84375, 66.25),
    is_right<S>("VariationalInformation", [](auto s, auto t, auto, auto g) { const S x = scalar<S>(0.5); S gx; return VariationalInformation{}(maps(s), maps(t), MatrixView<const S>{&x, 1, 1}, maps(g), MatrixView<S>{&gx, 1, 1}); }, 0.558426775200, 1.452102027008),
    is_right<S>("Review", [](auto s, auto t, auto, auto g) { return Review{}(maps(s), maps(t), maps(g)); }, 0.674458006310, 2.493038627),
    is_right<S>("FactorTransfer", [](auto s, auto t, auto, auto g) { return FactorTransfer{}(maps(s), maps(t), maps(g)); }, 0.213764175113, 0.170888206257),
    is_right<S>("AttentionTransfer", [](auto s, auto t, auto, auto g) { return AttentionTransfer{}(maps(s), maps(t), maps(g)); }, 0.072376793275, 0.079514083667),
    is_right<S>("AttentionTransfer, power 4", [](auto s, auto t, auto, auto g) { AttentionTransfer loss; loss.power = 4; return loss(maps(s), maps(t), maps(g)); }, 0.094859821674, 0.067096842392),
    is_right<S>("softmax", [](auto s, auto, auto, auto g) { softmax(s, g, 2); return 0.0; }, 0, 5.911111606891),
    is_right<S>("softmax_backward", [](auto s, auto t, auto, auto g) { softmax_backward(s, t, g, 2); return 0.0; }, 0, -80.25),
    is_right<S>("log_softmax", [](auto s, auto, auto, auto g) { log_softmax(s, g, 2); return 0.0; }, 0, -334.310540050133),
    is_right<S>("log_softmax_backward", [](auto s, auto t, auto, auto g) { log_softmax_backward(s, t, g, 2); return 0.0; }, 0, 115.656356701204),
  };
  // clang-format on
  bool right = true;
  for (const bool one : all) right = right && one;
  return right;
}

}  // namespace
