// The smallest trainer that learns from a teacher: a linear model on float buffers, by gradient descent.
// docs/quick_start.md walks through it. Prints the student's accuracy with and without the teacher.
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <distill/logits/knowledge_distillation.hpp>
#include <random>
#include <vector>

namespace {

constexpr std::size_t inputs = 16, classes = 10;
using Floats = std::vector<float>;

struct Samples {
  Floats x;  // one sample per row
  std::vector<int> labels;
  Floats teacher;  // its logits, one sample per row

  std::size_t size() const { return labels.size(); }
};

// Noise around a centre for each class. The teacher knows the centres: it represents your trained network.
Samples draw(std::size_t count, const Floats& centres, std::mt19937& engine) {
  std::normal_distribution<float> noise(0, 1);
  Samples samples;
  for (std::size_t i = 0; i < count; ++i) {
    samples.labels.push_back(static_cast<int>(i % classes));
    for (std::size_t j = 0; j < inputs; ++j) samples.x.push_back(centres[i % classes * inputs + j] + noise(engine));
    for (std::size_t k = 0; k < classes; ++k) {
      float squares = 0;
      for (std::size_t j = 0; j < inputs; ++j) {
        squares += std::pow(samples.x[i * inputs + j] - centres[k * inputs + j], 2.0f);
      }
      samples.teacher.push_back(-squares / 2);
    }
  }
  return samples;
}

struct Student {
  Floats weights = Floats(inputs * classes), bias = Floats(classes);

  void forward(const Samples& samples, Floats& logits) const {
    for (std::size_t i = 0; i < samples.size(); ++i) {
      for (std::size_t k = 0; k < classes; ++k) {
        float sum = bias[k];
        for (std::size_t j = 0; j < inputs; ++j) sum += samples.x[i * inputs + j] * weights[j * classes + k];
        logits[i * classes + k] = sum;
      }
    }
  }

  // dlogits = d loss / d logits
  void backward(const Samples& samples, const Floats& dlogits, float rate) {
    for (std::size_t i = 0; i < samples.size(); ++i) {
      for (std::size_t k = 0; k < classes; ++k) {
        const float step = rate * dlogits[i * classes + k];
        bias[k] -= step;
        for (std::size_t j = 0; j < inputs; ++j) weights[j * classes + k] -= step * samples.x[i * inputs + j];
      }
    }
  }
};

Student train(const distill::KnowledgeDistillation& loss, const Samples& samples) {
  Student student;
  Floats logits(samples.size() * classes), dlogits(logits.size());
  const distill::MatrixView scores{logits.data(), samples.size(), classes};
  const distill::MatrixView teacher{samples.teacher.data(), samples.size(), classes};
  const distill::MatrixView grad{dlogits.data(), samples.size(), classes};
  for (int step = 0; step < 500; ++step) {
    student.forward(samples, logits);
    loss(scores, teacher, samples.labels, grad);
    student.backward(samples, dlogits, 0.1f);
  }
  return student;
}

double percent_right(const Student& student, const Samples& samples) {
  Floats logits(samples.size() * classes);
  student.forward(samples, logits);
  int right = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    std::size_t best = 0;
    for (std::size_t k = 1; k < classes; ++k) {
      if (logits[i * classes + k] > logits[i * classes + best]) best = k;
    }
    right += best == static_cast<std::size_t>(samples.labels[i]);
  }
  return 100.0 * right / static_cast<double>(samples.size());
}

// What to check in your own trainer: `logits` and `dlogits` of one batch, after the call.
bool gradient_is_right(const distill::KnowledgeDistillation& loss, const Samples& samples, Floats logits) {
  const distill::MatrixView scores{logits.data(), samples.size(), classes};
  const distill::MatrixView teacher{samples.teacher.data(), samples.size(), classes};
  Floats dlogits(logits.size());
  loss(scores, teacher, samples.labels, distill::MatrixView{dlogits.data(), samples.size(), classes});

  // Each row of the gradient sums to 0, as a constant added to a row of logits changes nothing.
  float sum = 0;
  for (std::size_t k = 0; k < classes; ++k) sum += dlogits[k];

  // The gradient is the slope of the loss.
  const float step = 1e-2f;
  logits[0] += step;
  const double above = loss(scores, teacher, samples.labels);
  logits[0] -= 2 * step;
  const double slope = (above - loss(scores, teacher, samples.labels)) / (2 * step);
  return std::abs(sum) < 1e-6f && std::abs(slope - dlogits[0]) < 1e-3 * std::abs(slope) + 1e-6;
}

}  // namespace

int main() {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal(0, 0.7f);
  Floats centres(classes * inputs);
  for (float& x : centres) x = normal(engine);
  const Samples few = draw(40, centres, engine), many = draw(5000, centres, engine);

  distill::KnowledgeDistillation loss;
  loss.temperature = 4;
  loss.alpha = 0.9;  // the teacher's share; the labels have the rest

  distill::KnowledgeDistillation labels_only;
  labels_only.alpha = 0;

  const double without = percent_right(train(labels_only, few), many);
  const double with = percent_right(train(loss, few), many);
  std::printf("labels only          %.1f %%\n", without);
  std::printf("teacher and labels   %.1f %%\n", with);
  const bool right = gradient_is_right(loss, few, Floats(few.size() * classes));
  if (!right) std::printf("the gradient is WRONG\n");
  return right && with > without ? 0 : 1;
}
