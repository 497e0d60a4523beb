// A trainer as in plain C: loops over float buffers, accumulated gradients, and rows of logits with padding.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <distill/logits/cross_entropy.hpp>
#include <distill/logits/knowledge_distillation.hpp>
#include <memory>
#include <vector>

#include "few_labels.hpp"
#include "random.hpp"

namespace {

using std::size_t;

constexpr size_t padding = 16;  // rows of logits are a multiple of it

// out[N][O] = in[N][I] w[I][O] + b[O]
void linear_forward(float* out, const float* in, const float* w, const float* b, size_t N, size_t I, size_t O) {
  for (size_t n = 0; n < N; ++n) {
    float* const row = out + n * O;
    for (size_t o = 0; o < O; ++o) row[o] = b[o];
    for (size_t i = 0; i < I; ++i) {
      for (size_t o = 0; o < O; ++o) row[o] += in[n * I + i] * w[i * O + o];
    }
  }
}

// Adds to dw, db and, unless it is null, din.
void linear_backward(float* din, float* dw, float* db, const float* dout, const float* in, const float* w, size_t N,
                     size_t I, size_t O) {
  for (size_t n = 0; n < N; ++n) {
    const float* const row = dout + n * O;
    for (size_t o = 0; o < O; ++o) db[o] += row[o];
    for (size_t i = 0; i < I; ++i) {
      for (size_t o = 0; o < O; ++o) dw[i * O + o] += in[n * I + i] * row[o];
      if (!din) continue;
      for (size_t o = 0; o < O; ++o) din[n * I + i] += w[i * O + o] * row[o];
    }
  }
}

void relu_forward(float* out, const float* in, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = std::max(in[i], 0.0f);
}

void relu_backward(float* din, const float* dout, const float* in, size_t count) {
  for (size_t i = 0; i < count; ++i) din[i] += in[i] > 0 ? dout[i] : 0;
}

// All parameters in one buffer, and buffers like it for their gradient and Adam's means.
struct Mlp {
  size_t I, H, V, Vp;  // inputs, hidden units, classes, and classes with padding
  size_t parameters = I * H + H + H * Vp + Vp;
  std::vector<float> memory = std::vector<float>(parameters, 0.0f);
  std::vector<float> gradient = memory, mean = memory, mean_square = memory;
  int steps = 0;

  struct Pointers {
    float *w1, *b1, *w2, *b2;
  };
  Pointers pointers(std::vector<float>& buffer) const {
    float* const p = buffer.data();
    return {p, p + I * H, p + I * H + H, p + I * H + H + H * Vp};
  }
};

struct Activations {
  std::vector<float> hidden, relu, logits;

  Activations(const Mlp& m, size_t N) : hidden(N * m.H, 0.0f), relu(hidden), logits(N * m.Vp, 0.0f) {}
};

void forward(Mlp& m, Activations& a, const float* in, size_t N) {
  const auto p = m.pointers(m.memory);
  linear_forward(a.hidden.data(), in, p.w1, p.b1, N, m.I, m.H);
  relu_forward(a.relu.data(), a.hidden.data(), N * m.H);
  linear_forward(a.logits.data(), a.relu.data(), p.w2, p.b2, N, m.H, m.Vp);
}

void backward(Mlp& m, const Activations& a, Activations& d, const float* in, size_t N) {
  const auto p = m.pointers(m.memory);
  const auto g = m.pointers(m.gradient);
  linear_backward(d.relu.data(), g.w2, g.b2, d.logits.data(), a.relu.data(), p.w2, N, m.H, m.Vp);
  relu_backward(d.hidden.data(), d.relu.data(), a.hidden.data(), N * m.H);
  linear_backward(nullptr, g.w1, g.b1, d.hidden.data(), in, p.w1, N, m.I, m.H);
}

void adam_step(Mlp& m) {
  constexpr float beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;
  ++m.steps;
  const auto steps = static_cast<float>(m.steps);
  const float rate = static_cast<float>(few_labels::learning_rate) * std::sqrt(1 - std::pow(beta2, steps)) /
                     (1 - std::pow(beta1, steps));
  for (size_t i = 0; i < m.parameters; ++i) {
    const float g = m.gradient[i];
    m.mean[i] += (1 - beta1) * (g - m.mean[i]);
    m.mean_square[i] += (1 - beta2) * (g * g - m.mean_square[i]);
    m.memory[i] -= rate * m.mean[i] / (std::sqrt(m.mean_square[i]) + epsilon);
  }
}

Mlp make_mlp(size_t inputs, size_t hidden, size_t classes, mlp::Random& random) {
  Mlp m{inputs, hidden, classes, (classes + padding - 1) / padding * padding};
  const auto fill = [&](float* w, size_t rows, size_t cols) {
    const double range = std::sqrt(6.0 / static_cast<double>(rows));
    for (size_t i = 0; i < rows * cols; ++i) w[i] = static_cast<float>((2 * random.uniform() - 1) * range);
  };
  fill(m.pointers(m.memory).w1, m.I, m.H);
  fill(m.pointers(m.memory).w2, m.H, m.Vp);
  return m;
}

few_labels::Network train(const few_labels::Task& task) {
  const auto inputs = static_cast<size_t>(task.samples.inputs.cols());
  const auto classes = static_cast<size_t>(task.classes);
  mlp::Random random(task.seed, mlp::Purpose::student);
  auto m = std::make_shared<Mlp>(make_mlp(inputs, static_cast<size_t>(task.hidden), classes, random));

  const distill::CrossEntropy cross_entropy;
  const distill::KnowledgeDistillation kd{.temperature = few_labels::temperature, .alpha = few_labels::alpha};
  std::vector<int> order = mlp::iota(task.samples.size());
  for (int epoch = 0; epoch < task.epochs; ++epoch) {
    random.shuffle(order);
    for (size_t begin = 0; begin < order.size(); begin += few_labels::batch_size) {
      const size_t N = std::min<size_t>(few_labels::batch_size, order.size() - begin);
      const std::vector<int> rows(&order[begin], &order[begin] + N);
      const mlp::Samples batch = mlp::select(task.samples, rows);
      Activations a(*m, N), d(*m, N);
      std::fill(m->gradient.begin(), m->gradient.end(), 0.0f);

      forward(*m, a, batch.inputs.data(), N);
      const distill::MatrixView logits{a.logits.data(), N, m->V, m->Vp};
      const distill::MatrixView dlogits{d.logits.data(), N, m->V, m->Vp};
      if (task.has_teacher()) {
        const mlp::Matrix teacher = mlp::select(task.teacher, rows);
        kd(logits, distill::MatrixView{teacher.data(), N, m->V}, batch.labels, distill::add_to(dlogits));
      } else {
        cross_entropy(logits, batch.labels, distill::add_to(dlogits));
      }
      backward(*m, a, d, batch.inputs.data(), N);
      adam_step(*m);
    }
  }

  return [m](const mlp::Matrix& images) -> mlp::Matrix {
    const auto N = static_cast<size_t>(images.rows());
    Activations a(*m, N);
    forward(*m, a, images.data(), N);
    return Eigen::Map<const mlp::Matrix>(a.logits.data(), images.rows(), static_cast<Eigen::Index>(m->Vp))
        .leftCols(static_cast<Eigen::Index>(m->V));
  };
}

}  // namespace

int main(int argc, char** argv) {
  return few_labels::run(argc, argv, train);
}
