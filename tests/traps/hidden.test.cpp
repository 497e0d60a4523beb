// Losses on hidden layers and attention, in either order of memory: finite input raises no FE_INVALID, FE_DIVBYZERO or
// FE_OVERFLOW, which people trap to find NaN.
#include <doctest/doctest.h>

#include <cstddef>
#include <distill/attention/value_relation.hpp>
#include <distill/distill.hpp>
#include <distill/features/neuron_selectivity.hpp>
#include <string>
#include <vector>

#include "traps/traps.hpp"

namespace {

using traps::Batch;
using traps::check_quiet;
using traps::Kind;

/// Rows of numbers as maps of `channels`, whose positions or channels are neighbours.
struct Maps {
  std::size_t channels;
  bool channels_last;

  template <class T>
  distill::FeatureMapView<T> operator()(const distill::MatrixView<T>& m) const {
    const std::size_t positions = m.cols / channels;
    if (channels_last) return distill::nhwc(m.data, m.rows, 1, positions, channels);
    return {m.data, m.rows, channels, positions};
  }
};

/// Calls of a loss of rows as `of` makes them: with a gradient, and without.
template <class S, class Of>
auto calls(const Batch<S>& b, const Of& of) {
  return [&b, of](const std::string& name, const auto& loss) {
    check_quiet(b, name, [&] { return loss(of(b.s()), of(b.t()), of(b.g())); });
    check_quiet(b, name, [&] { return loss(of(b.s()), of(b.t())); });
  };
}

const auto as_rows = [](const auto& m) { return m; };

/// One of each kind of row, and of maps.
template <class S>
void check_some(const Batch<S>& b) {
  using namespace distill;
  const auto check = calls(b, as_rows);
  for (const bool normalize : {false, true}) {
    check("FeatureMatching, squared", FeatureMatching{.normalize = normalize});
    check("FeatureMatching, absolute", FeatureMatching{.distance = FeatureDistance::absolute, .normalize = normalize});
    check("FeatureMatching, smooth_l1",
          FeatureMatching{.distance = FeatureDistance::smooth_l1, .normalize = normalize});
  }
}
template <class S>
void check_some(const Batch<S>& b, const Maps& of) {
  using namespace distill;
  const auto check = calls(b, of);
  check("AttentionTransfer", AttentionTransfer{});
  check("PearsonFeatures", PearsonFeatures{});
}

template <class S>
void check_others(const Batch<S>& b) {
  using namespace distill;
  const auto check = calls(b, as_rows);
  check("FeatureMatching, huber", FeatureMatching{.distance = FeatureDistance::huber});
  check("FeatureMatching, cosine", FeatureMatching{.distance = FeatureDistance::cosine});
  check("ActivationBoundary", ActivationBoundary{});
}
template <class S>
void check_others(const Batch<S>& b, const Maps& of) {
  using namespace distill;
  const auto check = calls(b, of);
  check("AttentionTransfer, power 4", AttentionTransfer{.power = 4});
  check("AttentionTransfer, power 1.5", AttentionTransfer{.power = 1.5, .distance = AttentionDistance::euclidean});
  check("ChannelWise", ChannelWise{});
  check("ChannelWise, temperature 4", ChannelWise{.temperature = 4});
  check("Review", Review{});
  check("FactorTransfer", FactorTransfer{});
  check("FactorTransfer, energy", FactorTransfer{.factor = Factor::energy, .distance = FactorDistance::euclidean});
  check("NeuronSelectivity", NeuronSelectivity{});
  check("NeuronSelectivity, gaussian", NeuronSelectivity{.kernel = SelectivityKernel::gaussian});
  const std::vector<S> margins(of.channels, S(-0.75)), log_scale(of.channels, S(5));
  std::vector<S> grad_log_scale(of.channels);
  const MatrixView<const S> m{margins.data(), 1, of.channels}, v{log_scale.data(), 1, of.channels};
  const MatrixView<S> grad_v{grad_log_scale.data(), 1, of.channels};
  check_quiet(b, "MarginRelu", [&] { return MarginRelu{}(of(b.s()), of(b.t()), m, of(b.g())); });
  check_quiet(b, "VariationalInformation",
              [&] { return VariationalInformation{}(of(b.s()), of(b.t()), v, of(b.g()), grad_v); });
}

/// One head of one query.
template <class S>
void check_attention(const Batch<S>& b) {
  using namespace distill;
  const auto of = [](const auto& m) { return FeatureMapView{m.data, m.rows, 1, 1, m.cols}; };
  for (const auto distance :
       {AttentionMatrixDistance::squared, AttentionMatrixDistance::kl, AttentionMatrixDistance::cross_entropy}) {
    AttentionMatrix loss{.distance = distance};
    const std::string name = "AttentionMatrix " + std::to_string(static_cast<int>(distance));
    check_quiet(b, name, [&] { return loss(of(b.s()), of(b.t()), of(b.g())); });
    loss.heads = AttentionHeads::mean;
    check_quiet(b, name + ", mean", [&] { return loss(of(b.s()), of(b.t()), of(b.g())); });
    loss.score_floor = -1e3;
    check_quiet(b, name + ", floor", [&] { return loss(of(b.s()), of(b.t()), of(b.g())); });
  }
}

}  // namespace

TEST_CASE_TEMPLATE("finite features raise no floating-point exception", S, float, double, distill::half,
                   distill::bfloat16) {
  for (const std::size_t cols : {1, 2, 3, 7, 8, 9, 16, 31, 33, 100, 128, 129, 300, 1000}) {
    for (const Kind kind : traps::all_kinds) {
      // a loss of more than the largest number
      if (kind == Kind::huge && distill::detail::format_of<S> == distill::Format::float64) continue;
      const Batch<S> batch(kind, 3, cols);
      check_some(batch);
      if constexpr (traps::tries_all<S>) {
        check_others(batch);
        check_attention(batch);
      }
      for (const std::size_t channels : {std::size_t{1}, cols % 4 == 0 ? cols / 4 : cols}) {
        for (const bool channels_last : {false, true}) {
          check_some(batch, Maps{channels, channels_last});
          if constexpr (traps::tries_all<S>) check_others(batch, Maps{channels, channels_last});
        }
      }
    }
  }
}

// They are computed in long double, which x86 has a unit of its own for.
TEST_CASE("doubles whose squares are no numbers raise no floating-point exception") {
  using namespace distill;
  for (const double size : {1e200, 1.7e308}) {
    for (const bool channels_last : {false, true}) {
      Batch<double> b(Kind::random, 2, 8);
      for (std::size_t k = 0; k < 16; ++k) {
        b.student[k] = k % 5 == 0 ? size : -3.0 + static_cast<double>(k);
        b.teacher[k] = k % 4 == 0 ? -size / 4 : 2.0;
      }
      check_some(b);
      check_others(b);
      check_some(b, Maps{2, channels_last});
      check_others(b, Maps{2, channels_last});
      check_attention(b);
      calls(b, as_rows)("LogitMse", LogitMse{});
      calls(b, [](const auto& m) { return nhwc(m.data, m.rows, 4, 1, 2); })("ValueRelation",
                                                                            ValueRelation{.relation_heads = 1});
    }
  }
}
