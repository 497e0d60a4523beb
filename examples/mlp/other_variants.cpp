// The losses that a default run leaves out.
#include <algorithm>
#include <array>
#include <cstddef>
#include <distill/distill.hpp>
#include <vector>

#include "experiments.hpp"

namespace mlp {

namespace {

// Gradients start as zeros, so a loss that adds to them works alone and as a term of a sum.
template <class L>
Loss of_labels(const L& loss) {
  return
      [=](const Step& step) { return loss(step.student.logits, step.labels, distill::add_to(step.gradient.logits)); };
}
template <class L>
Loss of_teacher(const L& loss) {
  return [=](const Step& step) {
    return loss(step.student.logits, step.teacher.logits, distill::add_to(step.gradient.logits));
  };
}
template <class L>
Loss of_teacher_and_labels(const L& loss) {
  return [=](const Step& step) {
    return loss(step.student.logits, step.teacher.logits, step.labels, distill::add_to(step.gradient.logits));
  };
}
Loss sum(const std::vector<Loss>& terms) {
  return [=](const Step& step) {
    double value = 0;
    for (const Loss& term : terms) value += term(step);
    return value;
  };
}

// KL and the relations within the batch, at each of several temperatures.
Loss multi_level() {
  std::vector<Loss> terms{of_labels(distill::CrossEntropy{})};
  for (const double temperature : {2.0, 3.0, 4.0, 5.0, 6.0}) {
    terms.push_back(of_teacher(distill::KlDivergence{.temperature = temperature}));
    terms.push_back(of_teacher(distill::MultiLevel{.temperature = temperature}));
  }
  return sum(terms);
}

// Of the teacher only what an inference engine would return: its most probable classes, and how probable they are.
Loss top_k(double temperature) {
  const distill::TopKKl loss{.temperature = temperature, .teacher_temperature = temperature};
  return [=](const Step& step) {
    const Matrix& logits = step.teacher.logits;
    const Eigen::Index known = std::min<Eigen::Index>(known_classes, logits.cols());
    Matrix log_probabilities(logits.rows(), logits.cols());
    distill::log_softmax(logits, log_probabilities, temperature);

    Eigen::Matrix<int, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> classes(logits.rows(), known);
    Matrix of_classes(logits.rows(), known);
    for (Eigen::Index i = 0; i < logits.rows(); ++i) {
      const auto row = log_probabilities.row(i);
      std::vector<int> order = iota(static_cast<int>(row.size()));
      std::partial_sort(order.begin(), order.begin() + known, order.end(),
                        [&](int a, int b) { return row[a] > row[b]; });
      for (Eigen::Index j = 0; j < known; ++j) {
        classes(i, j) = order[static_cast<std::size_t>(j)];
        of_classes(i, j) = row[classes(i, j)];
      }
    }
    return loss(step.student.logits, distill::sparse_teacher(classes, of_classes), step.gradient.logits);
  };
}

// On-policy: the student draws a class from its own probabilities, and the teacher says how probable it is.
Loss sampled() {
  return [loss = distill::SampledTokenReverseKl{}](const Step& step) {
    const Matrix& logits = step.student.logits;
    Matrix probabilities(logits.rows(), logits.cols());
    Matrix teacher(logits.rows(), logits.cols());
    distill::softmax(logits, probabilities);
    distill::log_softmax(step.teacher.logits, teacher);

    std::vector<int> drawn;
    std::vector<float> teacher_log_probabilities;
    for (Eigen::Index i = 0; i < logits.rows(); ++i) {
      const double level = step.random.uniform();
      double below = probabilities(i, 0);
      int label = 0;
      while (below <= level && label + 1 < logits.cols()) below += probabilities(i, ++label);
      drawn.push_back(label);
      teacher_log_probabilities.push_back(teacher(i, label));
    }
    return loss(logits, distill::sampled_tokens(drawn, teacher_log_probabilities), step.gradient.logits);
  };
}

// There is only one teacher, so half of it is given as log-probabilities: the loss equals kl.
Loss two_teachers(double temperature) {
  return [loss = distill::KlDivergence{.temperature = temperature}](const Step& step) {
    const Matrix& logits = step.teacher.logits;
    Matrix log_probabilities(logits.rows(), logits.cols());
    distill::log_softmax(logits, log_probabilities);
    const std::array teachers{distill::weighted(logits, 0.5),
                              distill::weighted(distill::log_probabilities(log_probabilities), 0.5)};
    return loss(step.student.logits, teachers, step.gradient.logits);
  };
}

}  // namespace

std::vector<Variant> other_variants(const Settings& settings) {
  const double temperature = settings.temperature;
  const distill::CrossEntropy cross_entropy;
  const distill::KnowledgeDistillation standardised{
      .temperature = 2,
      .alpha = 9 / 9.1,
      .weight = 9.1,  // 9 times the teacher's term, 0.1 times the labels'
      .logits = {.standardize = distill::Standardize::unbiased},
  };
  return {
      // Other distances between the probabilities that kl compares.
      {"two-teachers", "KL, two teachers", two_teachers(temperature)},
      {"reverse-kl", "reverse KL", of_teacher(distill::ReverseKl{.temperature = temperature})},
      {"symmetric-kl", "symmetric KL", of_teacher(distill::SymmetricKl{.temperature = temperature})},
      {"jsd", "Jensen-Shannon", of_teacher(distill::JensenShannon{.temperature = temperature})},
      {"skewed-kl", "skewed KL", of_teacher(distill::SkewedKl{.temperature = temperature})},
      {"skewed-reverse-kl", "skewed reverse KL", of_teacher(distill::SkewedReverseKl{.temperature = temperature})},
      {"tv", "total variation", of_teacher(distill::TotalVariation{.temperature = temperature})},
      {"alpha", "alpha-divergence", of_teacher(distill::AlphaDivergence{.temperature = temperature})},
      {"adaptive-kl", "adaptive KL", of_teacher(distill::AdaptiveKl{.temperature = temperature})},
      {"binary-kl", "binary KL", of_teacher(distill::BinaryKl{.temperature = temperature})},
      {"top-k", "KL, 3 classes known", top_k(temperature)},

      // Without a temperature.
      {"sampled", "reverse KL, sampled", sampled()},
      {"logit-mse", "logits, squared", of_teacher(distill::LogitMse{})},
      {"logit-cosine", "logits, cosine", of_teacher(distill::LogitCosine{})},

      // Plus cross entropy with the labels, with temperatures and weights as published.
      {"standardised-kd", "KD, standardised", of_teacher_and_labels(standardised)},
      {"dkd", "labels + decoupled KD",
       sum({of_labels(cross_entropy), of_teacher_and_labels(distill::DecoupledKd{.temperature = 4, .beta = 8})})},
      {"wsld", "labels + weighted KL",
       sum({of_labels(cross_entropy),
            of_teacher_and_labels(distill::WeightedSoftLabel{.temperature = 2, .weight = 2.5})})},
      {"dist", "labels + DIST",
       sum({of_labels(cross_entropy), of_teacher(distill::Dist{.temperature = 4, .beta = 2, .gamma = 2})})},
      {"multi-level", "labels + multi-level", multi_level()},
      {"uld", "labels + ULD", sum({of_labels(cross_entropy), of_teacher(distill::UniversalLogit{.weight = 1.5})})},
  };
}

}  // namespace mlp
