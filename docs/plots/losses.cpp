// Plots the losses on class scores and their gradients, for docs/losses: prints a gnuplot script. From the repository's
// root:  mkdir -p build && g++ -std=c++20 -O1 -Iinclude docs/plots/losses.cpp -o build/losses && build/losses | gnuplot
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iomanip>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <distill/logits/adaptive_kl.hpp>
#include <distill/logits/alpha_divergence.hpp>
#include <distill/logits/binary_kl.hpp>
#include <distill/logits/decoupled_kd.hpp>
#include <distill/logits/dist.hpp>
#include <distill/logits/jensen_shannon.hpp>
#include <distill/logits/kl_divergence.hpp>
#include <distill/logits/logit_cosine.hpp>
#include <distill/logits/logit_mse.hpp>
#include <distill/logits/multi_level.hpp>
#include <distill/logits/reverse_kl.hpp>
#include <distill/logits/sampled_token_reverse_kl.hpp>
#include <distill/logits/skewed_kl.hpp>
#include <distill/logits/skewed_reverse_kl.hpp>
#include <distill/logits/symmetric_kl.hpp>
#include <distill/logits/top_k.hpp>
#include <distill/logits/total_variation.hpp>
#include <distill/logits/universal_logit.hpp>
#include <distill/logits/weighted_soft_label.hpp>

namespace {

using Numbers = std::vector<double>;

struct Point {
  double loss, slope;
};

struct Curve {
  std::string title;
  std::function<Point(double x)> at;
  bool is_reference = false;  // another loss, to compare with
};

struct Plot {
  std::string name;
  std::string scores;
  std::vector<Curve> curves;
  std::string highest_loss = "*";
  std::string slopes = "*:*";
};

constexpr double teacher_x = 1.5;

// Student's logits that are x where `varied` says so.
struct Student {
  Numbers logits;
  std::size_t varied = 0;
  std::size_t rows = 1;

  // call(student, grad) -> loss
  template <class Call>
  Point at(double x, const Call& call) const {
    Numbers z = logits, grad(z.size());
    z[varied] = x;
    const std::size_t cols = z.size() / rows;
    const distill::MatrixView student{static_cast<const double*>(z.data()), rows, cols};
    const double loss = call(student, distill::MatrixView{grad.data(), rows, cols});
    return {loss, grad[varied]};
  }
};

template <class Loss>
Curve curve(std::string title, Loss loss, Student student, Numbers teacher) {
  return {std::move(title), [=](double x) {
            return student.at(x, [&](const auto& scores, const auto& grad) {
              return loss(scores, distill::MatrixView{teacher.data(), scores.rows, scores.cols}, grad);
            });
          }};
}

template <class Loss>
Curve two_classes(std::string title, Loss loss) {
  return curve(std::move(title), loss, {{0, 0}}, {teacher_x, 0});
}

template <class Loss>
Curve labelled(std::string title, Loss loss, Student student, Numbers teacher, std::int64_t label) {
  return {std::move(title), [=](double x) {
            return student.at(x, [&](const auto& scores, const auto& grad) {
              return loss(scores, distill::MatrixView{teacher.data(), scores.rows, scores.cols},
                          distill::LabelsView{&label, 1}, grad);
            });
          }};
}

// A teacher of whom classes 0 and 1 of three are known.
template <class Loss>
Curve known_two(std::string title, Loss loss, Student student, std::array<double, 2> log_probabilities) {
  return {std::move(title), [=](double x) {
            static constexpr std::array<std::int64_t, 2> indices{0, 1};
            const auto teacher = distill::sparse_teacher(distill::MatrixView{indices.data(), 1, 2},
                                                         distill::MatrixView{log_probabilities.data(), 1, 2});
            return student.at(x, [&](const auto& scores, const auto& grad) { return loss(scores, teacher, grad); });
          }};
}

// Token 0 of two, sampled when the logits were (0, 0) if `is_stale`, else as they are.
Curve sampled(std::string title, distill::SampledTokenReverseKl loss, bool is_stale) {
  return {
      std::move(title), [=](double x) {
        static constexpr std::array<std::int64_t, 1> token{0};
        static const std::array<double, 1> teacher{-0.2}, sampling{-std::log(2)};
        const auto tokens =
            is_stale ? distill::sampled_tokens(token, teacher, sampling) : distill::sampled_tokens(token, teacher);
        return Student{{0, 0}}.at(x, [&](const auto& scores, const auto& grad) { return loss(scores, tokens, grad); });
      }};
}

Curve reference(Curve curve) {
  curve.is_reference = true;
  return curve;
}

std::vector<Plot> plots() {
  using namespace distill;
  const std::string two = "logits (x, 0), teacher (1.5, 0)";
  const Curve forward = reference(two_classes("KlDivergence", KlDivergence{}));
  std::vector<Plot> all;

  all.push_back({"reverse_kl", two, {two_classes("ReverseKl", ReverseKl{}), forward}});
  all.push_back({"symmetric_kl",
                 two,
                 {two_classes("forward_weight 0", SymmetricKl{.forward_weight = 0}),
                  two_classes("forward_weight 0.5", SymmetricKl{.forward_weight = 0.5}),
                  two_classes("forward_weight 1", SymmetricKl{.forward_weight = 1})}});
  all.push_back(
      {"jensen_shannon",
       two,
       {two_classes("beta 0.1", JensenShannon{.beta = 0.1}), two_classes("beta 0.5", JensenShannon{.beta = 0.5}),
        two_classes("beta 0.9", JensenShannon{.beta = 0.9})}});
  all.push_back({"skewed_kl",
                 two,
                 {two_classes("skew 0", SkewedKl{.skew = 0}), two_classes("skew 0.1", SkewedKl{.skew = 0.1}),
                  two_classes("skew 0.5", SkewedKl{.skew = 0.5})}});
  all.push_back(
      {"skewed_reverse_kl",
       two,
       {two_classes("skew 0", SkewedReverseKl{.skew = 0}), two_classes("skew 0.1", SkewedReverseKl{.skew = 0.1}),
        two_classes("skew 0.5", SkewedReverseKl{.skew = 0.5})}});
  all.push_back({"total_variation", two, {two_classes("TotalVariation", TotalVariation{})}});
  all.push_back(
      {"alpha_divergence",
       two,
       {two_classes("alpha -1", AlphaDivergence{.alpha = -1}), two_classes("alpha 0", AlphaDivergence{.alpha = 0}),
        two_classes("alpha 0.5", AlphaDivergence{.alpha = 0.5}), two_classes("alpha 1", AlphaDivergence{.alpha = 1}),
        two_classes("alpha 2", AlphaDivergence{.alpha = 2})},
       "4",
       "-2:1"});

  const Student other_class{{2, 0, 0}, 1};
  const Numbers confident{2, teacher_x, 0};
  all.push_back(
      {"decoupled_kd",
       "logits (2, x, 0), teacher (2, 1.5, 0), label 0",
       {labelled("alpha 1, beta 0", DecoupledKd{.temperature = 1, .alpha = 1, .beta = 0}, other_class, confident, 0),
        labelled("alpha 0, beta 1", DecoupledKd{.temperature = 1, .alpha = 0, .beta = 1}, other_class, confident, 0),
        labelled("alpha 1, beta 1", DecoupledKd{.temperature = 1, .alpha = 1, .beta = 1}, other_class, confident, 0),
        reference(curve("KlDivergence", KlDivergence{}, other_class, confident))}});

  const Student three{{0, 0, 0}};
  const Numbers uneven{teacher_x, 0, -1};
  all.push_back({"adaptive_kl",
                 "logits (x, 0, 0), teacher (1.5, 0, -1)",
                 {curve("AdaptiveKl", AdaptiveKl{}, three, uneven),
                  reference(curve("KlDivergence", KlDivergence{}, three, uneven)),
                  reference(curve("ReverseKl", ReverseKl{}, three, uneven))}});
  all.push_back({"logit_mse",
                 two,
                 {two_classes("temperature 1", LogitMse{}), two_classes("temperature 2", LogitMse{.temperature = 2})}});
  all.push_back({"logit_cosine",
                 "logits (x, 1), teacher (1.5, 1)",
                 {curve("LogitCosine", LogitCosine{}, {{0, 1}}, {teacher_x, 1})}});
  all.push_back({"binary_kl", two, {two_classes("BinaryKl", BinaryKl{}), forward}});
  all.push_back({"weighted_soft_label",
                 two,
                 {labelled("label 0", WeightedSoftLabel{.temperature = 1}, {{0, 0}}, {teacher_x, 0}, 0),
                  labelled("label 1", WeightedSoftLabel{.temperature = 1}, {{0, 0}}, {teacher_x, 0}, 1), forward}});

  const std::array<double, 2> known{teacher_x - std::log(std::exp(teacher_x) + 2), -std::log(std::exp(teacher_x) + 2)};
  all.push_back({"top_k",
                 "logits (x, 0, 0), teacher (1.5, 0, 0), classes 0 and 1 known",
                 {known_two("tail_bucket", TopKKl{.tail = Tail::tail_bucket}, three, known),
                  known_two("renormalise_teacher", TopKKl{.tail = Tail::renormalise_teacher}, three, known),
                  known_two("renormalise_both", TopKKl{.tail = Tail::renormalise_both}, three, known),
                  known_two("truncate", TopKKl{.tail = Tail::truncate}, three, known)}});

  const Student batch{{0, 0, -1, 0, 1, 0, -1, 0, 1}, 0, 3};
  const Numbers batch_teacher{teacher_x, 0, -1, 0, 1, 0, -1, 0, 1};
  all.push_back({"dist",
                 "logits (x, 0, -1), (0, 1, 0), (-1, 0, 1); teacher (1.5, 0, -1), the same",
                 {curve("beta 1, gamma 0", Dist{.beta = 1, .gamma = 0}, batch, batch_teacher),
                  curve("beta 0, gamma 1", Dist{.beta = 0, .gamma = 1}, batch, batch_teacher),
                  curve("beta 1, gamma 1", Dist{.beta = 1, .gamma = 1}, batch, batch_teacher)}});
  const Student pair{{0, 0, 0, 1}, 0, 2};
  const Numbers pair_teacher{teacher_x, 0, 0, 1};
  const MultiLevel by_batch{.temperature = 1, .batch_weight = 1, .class_weight = 0};
  const MultiLevel by_class{.temperature = 1, .batch_weight = 0, .class_weight = 1};
  all.push_back({"multi_level",
                 "logits (x, 0), (0, 1); teacher (1.5, 0), (0, 1)",
                 {curve("batch_weight only", by_batch, pair, pair_teacher),
                  curve("class_weight only", by_class, pair, pair_teacher)}});
  all.push_back({"universal_logit",
                 two,
                 {two_classes("UniversalLogit", UniversalLogit{}),
                  reference(two_classes("2 TotalVariation", TotalVariation{.weight = 2}))}});
  all.push_back({"sampled_token_reverse_kl",
                 "logits (x, 0), token 0, log p(token) = -0.2",
                 {sampled("no clip", SampledTokenReverseKl{}, false),
                  sampled("log_ratio_clip 1", SampledTokenReverseKl{.log_ratio_clip = 1}, false),
                  sampled("ratio_clip 0.2", SampledTokenReverseKl{.ratio_clip = 0.2}, true)}});

  const Student ordered{{0, 0, -1}};
  const auto with = [&](std::string title, LogitTransform logits) {
    return curve(std::move(title), KlDivergence{.logits = logits}, ordered, uneven);
  };
  all.push_back({"logit_options",
                 "logits (x, 0, -1), teacher (1.5, 0, -1)",
                 {with("KlDivergence", {}), with("scale 2", {.scale = 2}), with("soft_cap 2", {.soft_cap = 2}),
                  with("standardize unbiased", {.standardize = Standardize::unbiased})}});
  return all;
}

// A named block of lines "x loss slope".
std::string block_name(const Plot& plot, std::size_t k) {
  return "$" + plot.name + std::to_string(k);
}

void print_data(const Plot& plot) {
  for (std::size_t k = 0; k < plot.curves.size(); ++k) {
    std::cout << block_name(plot, k) << " << END\n";
    for (int i = -60; i <= 60; ++i) {
      const double x = i / 10.0;
      const Point point = plot.curves[k].at(x);
      std::cout << x << ' ' << point.loss << ' ' << point.slope << '\n';
    }
    std::cout << "END\n";
  }
}

void print_panel(const Plot& plot, int column, bool has_key) {
  // colours that most colour-blind people can tell apart (Okabe and Ito 2008)
  static const std::vector<std::string> colours{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"};
  static const std::vector<std::string> greys{"#000000", "#808080"};
  std::size_t colour = 0, grey = 0;
  std::cout << "plot ";
  for (std::size_t k = 0; k < plot.curves.size(); ++k) {
    const Curve& curve = plot.curves[k];
    std::cout << block_name(plot, k) << " using 1:" << column << " with lines lw 2 lc rgb '"
              << (curve.is_reference ? greys.at(grey++) + "' dt 2" : colours.at(colour++) + "'")
              << (has_key ? " title '" + curve.title + "', " : " notitle, ");
  }
  std::cout << "NaN with lines lc rgb '#404040' dt 3 " << (has_key ? "title 'x = 1.5'" : "notitle") << '\n';
}

void print_plot(const Plot& plot) {
  print_data(plot);
  std::cout << "set output 'docs/losses/plots/" << plot.name << ".svg'\n"
            << "set multiplot layout 1,2 margins 0.08,0.79,0.18,0.88 spacing 0.09 title '" << plot.scores << "'\n"
            << "set ylabel 'loss'\nset yrange [*:" << plot.highest_loss << "]\n";
  print_panel(plot, 2, true);
  std::cout << "set ylabel 'd loss / d x'\nset yrange [" << plot.slopes << "]\n";
  print_panel(plot, 3, false);
  std::cout << "unset multiplot\n";
}

}  // namespace

int main() {
  std::cout << std::setprecision(12) << "set terminal svg noenhanced size 960,320 background 'white'\n"
            << "set xlabel 'x'\nset xrange [-6:6]\nset xtics -6,3 nomirror\nset ytics nomirror\n"
            << "set key at screen 0.80,0.9 left top vertical Left reverse samplen 2\n"
            << "set xzeroaxis lc rgb '#808080'\n"
            << "set arrow 1 from 1.5, graph 0 to 1.5, graph 1 nohead lc rgb '#404040' dt 3\n";
  for (const Plot& plot : plots()) print_plot(plot);
}
