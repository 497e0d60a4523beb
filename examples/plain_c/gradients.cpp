// What trainers on plain pointers need from a loss: rows with padding, accumulated gradients, and a graph that knows
// only its own operations. The program checks each and fails if one is wrong.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <distill/logits/knowledge_distillation.hpp>
#include <random>
#include <vector>

#include "graph.hpp"

namespace {

const distill::KnowledgeDistillation kd{.temperature = 2, .alpha = 0.7};  // C++20; in C++17 set the fields one by one

template <class T>
std::vector<T> random_numbers(std::size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<T> numbers(count);
  for (T& x : numbers) x = static_cast<T>(engine() % 2001) / 500 - 2;
  return numbers;
}

template <class T>
bool nearly_equal(const std::vector<T>& a, const std::vector<T>& b, double tolerance) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [=](T x, T y) { return std::abs(double(x) - double(y)) <= tolerance; });
}

// Replaces a trainer's own backward function:
// dlogits += d loss / d logits; returns the loss. Rows of Vp floats of which V are classes; N = B * T rows.
extern "C" float kd_backward(float* dlogits, const float* logits, const float* teacher, const int* targets, int N,
                             int V, int Vp) {
  return static_cast<float>(kd(distill::MatrixView{logits, N, V, Vp}, distill::MatrixView{teacher, N, V, Vp},
                               distill::LabelsView{targets, N},
                               distill::add_to(distill::MatrixView{dlogits, N, V, Vp})));
}

// The padding of a row is neither read nor written.
bool padded_vocabulary() {
  constexpr std::size_t N = 6, V = 50, Vp = 64;
  std::vector<float> logits = random_numbers<float>(N * Vp, 1);
  std::vector<float> teacher = random_numbers<float>(N * Vp, 2);
  const std::vector<int> targets{3, 1, 4, 1, 5, 49};
  std::vector<float> dlogits(N * Vp, -7.0f);

  std::vector<float> packed_logits, packed_teacher, expected(N * V);
  for (std::size_t n = 0; n < N; ++n) {
    const auto begin = static_cast<std::ptrdiff_t>(n * Vp), end = begin + static_cast<std::ptrdiff_t>(V);
    packed_logits.insert(packed_logits.end(), logits.begin() + begin, logits.begin() + end);
    packed_teacher.insert(packed_teacher.end(), teacher.begin() + begin, teacher.begin() + end);
    std::fill(logits.begin() + end, logits.begin() + begin + Vp, NAN);
    std::fill(teacher.begin() + end, teacher.begin() + begin + Vp, NAN);
    std::fill(dlogits.begin() + begin, dlogits.begin() + end, 0.0f);
  }
  const double expected_loss =
      kd(distill::MatrixView{packed_logits.data(), N, V}, distill::MatrixView{packed_teacher.data(), N, V}, targets,
         distill::MatrixView{expected.data(), N, V});

  const double loss = kd_backward(dlogits.data(), logits.data(), teacher.data(), targets.data(), N, V, Vp);
  bool right = std::abs(loss - expected_loss) <= 1e-6 * expected_loss;
  for (std::size_t n = 0; n < N; ++n) {
    for (std::size_t v = 0; v < Vp; ++v) {
      const float g = dlogits[n * Vp + v];
      right &= v < V ? std::abs(g - expected[n * V + v]) <= 1e-7f : g == -7.0f;
    }
  }
  return right;
}

// A trainer that adds: its gradients are zeroed once a step, and micro-batches are summed. Their divisor is
// that of the whole step: total_weight.
bool added_gradients() {
  constexpr std::size_t N = 8, V = 10, micro_batch = 2;
  std::vector<float> logits = random_numbers<float>(N * V, 3);
  std::vector<float> teacher = random_numbers<float>(N * V, 4);
  std::vector<int> targets{0, 1, 2, 3, 4, 5, 6, 7};
  const std::vector<float> before = random_numbers<float>(N * V, 5);  // say, of another loss on the same logits

  std::vector<float> expected(N * V);
  const double loss = kd(distill::MatrixView{logits.data(), N, V}, distill::MatrixView{teacher.data(), N, V}, targets,
                         distill::MatrixView{expected.data(), N, V});
  for (std::size_t i = 0; i < N * V; ++i) expected[i] += before[i];

  std::vector<float> dlogits = before;
  double sum = 0;
  for (std::size_t n = 0; n < N; n += micro_batch) {
    sum += kd(distill::MatrixView{&logits[n * V], micro_batch, V}, distill::MatrixView{&teacher[n * V], micro_batch, V},
              distill::LabelsView{&targets[n], micro_batch},
              distill::add_to(distill::MatrixView{&dlogits[n * V], micro_batch, V}), {.total_weight = N});
  }
  return std::abs(sum - loss) <= 1e-6 * loss && nearly_equal(dlogits, expected, 1e-6);
}

// A graph engine needs no operation for the loss: with G = d loss / d logits as a constant, the gradient of
// sum(logits * G) is that of the loss, for every parameter. (Its value is not the loss, which the call has returned.)
bool surrogate() {
  constexpr std::size_t N = 4, inputs = 3, hidden = 5, V = 7;
  const auto x = random_numbers<double>(N * inputs, 6);
  auto w1 = random_numbers<double>(inputs * hidden, 7);
  auto w2 = random_numbers<double>(hidden * V, 8);
  const auto teacher = random_numbers<double>(N * V, 9);
  const std::vector<int> targets{6, 0, 2, 2};
  const distill::MatrixView teacher_view{teacher.data(), N, V};

  graph::Graph g;
  graph::Tensor* const a = g.input(inputs, hidden, w1);
  graph::Tensor* const b = g.input(hidden, V, w2);
  graph::Tensor* const logits = g.matmul(g.tanh(g.matmul(g.input(N, inputs, x), a)), b);
  std::vector<double> G(N * V);
  kd(distill::MatrixView{logits->values.data(), N, V}, teacher_view, targets, distill::MatrixView{G.data(), N, V});
  g.backward(g.sum(g.mul(logits, g.input(N, V, G))));

  const auto loss = [&] {
    graph::Graph again;
    graph::Tensor* const h = again.tanh(again.matmul(again.input(N, inputs, x), again.input(inputs, hidden, w1)));
    graph::Tensor* const z = again.matmul(h, again.input(hidden, V, w2));
    return kd(distill::MatrixView{z->values.data(), N, V}, teacher_view, targets);
  };
  const auto differences = [&](std::vector<double>& w) {
    constexpr double step = 1e-5;
    std::vector<double> slopes;
    for (double& parameter : w) {
      const double at = parameter;
      parameter = at + step;
      const double above = loss();
      parameter = at - step;
      slopes.push_back((above - loss()) / (2 * step));
      parameter = at;
    }
    return slopes;
  };
  return nearly_equal(a->grad, differences(w1), 1e-8) && nearly_equal(b->grad, differences(w2), 1e-8);
}

bool report(const char* what, bool right) {
  std::printf("%-20s %s\n", what, right ? "right" : "WRONG");
  return right;
}

}  // namespace

int main() {
  const bool padded = report("padded vocabulary", padded_vocabulary());
  const bool added = report("added gradients", added_gradients());
  const bool graph = report("surrogate", surrogate());
  return padded && added && graph ? 0 : 1;
}
