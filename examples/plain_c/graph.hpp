// A one-page graph engine: it knows four operations and their derivatives, and nothing about losses.
#pragma once

#include <cmath>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace graph {

struct Tensor {
  std::size_t rows;
  std::size_t cols;
  std::vector<double> values;
  std::vector<double> grad = std::vector<double>(values.size(), 0.0);
  std::function<void()> backward = [] {};  // adds to the gradients of what this was computed from
};

// Owns its tensors. They are made in an order in which each comes after what it is computed from.
class Graph {
 public:
  Tensor* input(std::size_t rows, std::size_t cols, std::vector<double> values) {
    tensors_.push_back(std::make_unique<Tensor>(Tensor{rows, cols, std::move(values)}));
    return tensors_.back().get();
  }

  Tensor* matmul(Tensor* a, Tensor* b) {
    Tensor* out = zeros(a->rows, b->cols);
    each_product(a, b, [=](std::size_t ik, std::size_t kj, std::size_t ij) {
      out->values[ij] += a->values[ik] * b->values[kj];
    });
    out->backward = [=] {
      each_product(a, b, [=](std::size_t ik, std::size_t kj, std::size_t ij) {
        a->grad[ik] += out->grad[ij] * b->values[kj];
        b->grad[kj] += out->grad[ij] * a->values[ik];
      });
    };
    return out;
  }

  Tensor* tanh(Tensor* a) {
    Tensor* out = zeros(a->rows, a->cols);
    for (std::size_t i = 0; i < a->values.size(); ++i) out->values[i] = std::tanh(a->values[i]);
    out->backward = [=] {
      for (std::size_t i = 0; i < a->values.size(); ++i) {
        a->grad[i] += out->grad[i] * (1 - out->values[i] * out->values[i]);
      }
    };
    return out;
  }

  Tensor* mul(Tensor* a, Tensor* b) {
    Tensor* out = zeros(a->rows, a->cols);
    for (std::size_t i = 0; i < a->values.size(); ++i) out->values[i] = a->values[i] * b->values[i];
    out->backward = [=] {
      for (std::size_t i = 0; i < a->values.size(); ++i) {
        a->grad[i] += out->grad[i] * b->values[i];
        b->grad[i] += out->grad[i] * a->values[i];
      }
    };
    return out;
  }

  Tensor* sum(Tensor* a) {
    Tensor* out = zeros(1, 1);
    for (const double x : a->values) out->values[0] += x;
    out->backward = [=] {
      for (double& g : a->grad) g += out->grad[0];
    };
    return out;
  }

  // d `of` / d each tensor
  void backward(Tensor* of) {
    of->grad[0] = 1;
    for (std::size_t i = tensors_.size(); i-- > 0;) tensors_[i]->backward();
  }

 private:
  Tensor* zeros(std::size_t rows, std::size_t cols) { return input(rows, cols, std::vector<double>(rows * cols, 0.0)); }

  template <class Body>
  static void each_product(const Tensor* a, const Tensor* b, const Body& body) {
    for (std::size_t i = 0; i < a->rows; ++i) {
      for (std::size_t k = 0; k < a->cols; ++k) {
        for (std::size_t j = 0; j < b->cols; ++j) body(i * a->cols + k, k * b->cols + j, i * b->cols + j);
      }
    }
  }

  std::vector<std::unique_ptr<Tensor>> tensors_;
};

}  // namespace graph
