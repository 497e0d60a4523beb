// What the benchmarks share: rows of random scores, counters, and the limits that times are compared with.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include <distill/core/views.hpp>

namespace bench {

/// Student's and teacher's scores and room for a gradient.
template <class T>
struct Batch {
  std::size_t rows, cols;
  std::vector<T> student, teacher, grad;
  std::vector<int> labels;

  explicit Batch(const benchmark::State& state)
      : Batch(static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1))) {}

  Batch(std::size_t r, std::size_t c) : rows(r), cols(c), student(r * c), teacher(r * c), grad(r * c), labels(r) {
    std::mt19937 random(1);
    std::normal_distribution<float> scores(0, 3);
    for (T& x : student) distill::detail::store_scalar(&x, scores(random));
    for (T& x : teacher) distill::detail::store_scalar(&x, scores(random));
    for (std::size_t i = 0; i < rows; ++i) labels[i] = static_cast<int>(i * 7 % cols);
  }

  std::size_t elements() const { return rows * cols; }
  distill::MatrixView<const T> s() const { return {student.data(), rows, cols}; }
  distill::MatrixView<const T> t() const { return {teacher.data(), rows, cols}; }
  distill::MatrixView<T> g() { return {grad.data(), rows, cols}; }
};

/// Seconds of the fastest of some runs.
template <class Body>
double fastest(const Body& body, int runs = 15) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

/// The least time this machine needs, on one thread, to move the bytes and to compute the exponentials.
struct Limits {
  double triad_seconds_per_element;  // read two arrays, write one, each as large as the benchmark's
  double exp_seconds_per_element;    // one exponential of a number in the L1 cache
};
Limits limits(std::size_t elements);

/// Runs `body`, and reports its time in units of `limit`: the larger of moving the bytes of two reads and a write and
/// of computing `exponentials` per element. Limit and loss are measured in turn, under the same load, and the ratio is
/// that of their medians.
template <class Body>
void run(benchmark::State& state, std::size_t elements, std::size_t bytes, double exponentials, const Body& body) {
  std::vector<double> seconds, limit_seconds;
  const double n = static_cast<double>(elements);
  for (auto _ : state) {
    if (limit_seconds.size() < 200) {
      const Limits l = limits(elements);
      limit_seconds.push_back(n * std::max(l.triad_seconds_per_element, exponentials * l.exp_seconds_per_element));
    }
    seconds.push_back(fastest(body, 1));
    state.SetIterationTime(seconds.back());
  }
  const auto median = [](std::vector<double>& v) {
    std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
    return v[v.size() / 2];
  };
  state.counters["elements/s"] =
      benchmark::Counter(n * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  state.counters["bytes/s"] = benchmark::Counter(static_cast<double>(bytes) * static_cast<double>(state.iterations()),
                                                 benchmark::Counter::kIsRate, benchmark::Counter::OneK::kIs1024);
  state.counters["ns/element"] = median(seconds) / n * 1e9;
  state.counters["limit_ns"] = median(limit_seconds) / n * 1e9;
  state.counters["time/limit"] = median(seconds) / median(limit_seconds);
}

/// Batches that represent a language model's vocabulary, a large classifier, one that stays in cache, ten classes.
inline void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "cols"})->Args({512, 32000})->Args({4096, 1024})->Args({128, 1024})->Args({65536, 10});
  b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.5);
}

}  // namespace bench
