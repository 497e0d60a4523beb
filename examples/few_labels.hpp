// The experiment of every host: a teacher learns from all digits, the students from 100 of them, one from their labels
// and one from the teacher's logits as well.
#pragma once

#include <cstdint>
#include <functional>

#include "data.hpp"

namespace few_labels {

// What a network is to learn.
struct Task {
  const mlp::Samples& samples;
  const mlp::Matrix& teacher;  // the teacher's logits, one sample a row; empty: learn from the labels only
  int classes;
  int hidden;
  int epochs;
  std::uint32_t seed;

  bool has_teacher() const { return teacher.size() > 0; }
};

// The trained network: logits of images, one a row.
using Network = std::function<mlp::Matrix(const mlp::Matrix& images)>;

inline constexpr int student_hidden = 32;
inline constexpr int teacher_hidden = 256;
inline constexpr int batch_size = 20;
inline constexpr double learning_rate = 3e-3;  // of Adam
inline constexpr double temperature = 8;
inline constexpr double alpha = 0.9;

// Trains a teacher and two students for each seed and prints their accuracies. Returns the exit code: 0 if the
// student with a teacher is the better one.
int compare(const std::function<Network(const Task&)>& train, int seeds);

// compare() with as many seeds as the command line says, 3 by default; says what went wrong.
int run(int argc, char** argv, const std::function<Network(const Task&)>& train);

}  // namespace few_labels
