// The experiment of every host: a teacher learns from all digits, the students from 100 of them, one from their labels
// and one from the teacher's logits as well.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data.hpp"

namespace few_labels {

// What a network is to learn.
struct Task {
  const mlp::Samples& samples;
  const mlp::Matrix& teacher;  // the teacher's logits, one sample per row; empty: learn from the labels only
  int classes;
  int hidden;
  int epochs;
  std::uint32_t seed;

  bool has_teacher() const { return teacher.size() > 0; }
};

// The trained network: logits of images, one per row.
using Network = std::function<mlp::Matrix(const mlp::Matrix& images)>;

inline constexpr int student_hidden = 32;
inline constexpr int teacher_hidden = 256;
inline constexpr int batch_size = 20;
inline constexpr double learning_rate = 3e-3;  // of Adam
inline constexpr double temperature = 8;
inline constexpr double alpha = 0.9;

using Train = std::function<Network(const Task&)>;

// Another way to train the student with a teacher.
struct OtherWay {
  std::string name;
  Train train;
};

// Trains a teacher and the students for each seed and prints their accuracies. Returns the exit code: 0 if the
// students with a teacher are better than the one without.
int compare(const mlp::Dataset& data, const Train& train, const std::vector<OtherWay>& others, int seeds);

// compare() with the command line's arguments: [SEEDS] [--data FOLDER], by default 3 and the embedded digits; the
// folder has images in MNIST's files. Prints what went wrong.
int run(int argc, char** argv, const Train& train, const std::vector<OtherWay>& others = {});

}  // namespace few_labels
