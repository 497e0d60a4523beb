#pragma once

#include <cstdint>
#include <distill/core/views.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data.hpp"
#include "network.hpp"
#include "training.hpp"

namespace mlp {

// Everything that the results depend on. What the command line does not set is a constant below.
struct Settings {
  std::vector<std::string> experiments;  // keys of all_experiments(); empty: all
  std::vector<std::string> losses;       // keys of all_variants(); empty: those of default_variants()
  std::string data;                      // an IDX folder; empty: the embedded digits
  int train_images = 10000;              // at most, of those in the folder
  double temperature = 8;
  double alpha = 0.9;
  double hint_weight = 1;
  double attention_weight = 100;
  int labels = 100;
  int channels = 8;
  int hidden = 32;
  int epochs = 100;
  int teacher_epochs = 30;
  int seeds = 10;
};

inline constexpr double label_smoothing = 0.1;
inline constexpr int known_classes = 3;  // of top-k's teacher
inline constexpr int teacher_channels = 16;
inline constexpr int teacher_hidden = 256;
inline constexpr int batch_size = 20;
inline constexpr double learning_rate = 3e-3;
inline constexpr int missing_class = 3;

// A way to train a student: only the loss differs, never the start, the batches or the number of steps.
struct Variant {
  std::string key;
  std::string name;
  Loss loss;
  // Creates the loss's own parameters, if it has any.
  std::function<std::vector<Layer>(const Network& student, const Network& teacher, Random& random)> make_own = {};
};
// From the student's hidden units to the teacher's.
std::vector<Layer> make_projection(const Network& student, const Network& teacher, Random& random);

// A patch layer's maps, with the channels of a position contiguous.
template <class Maps>
auto as_maps(Maps& maps, int channels) {
  return distill::nhwc(maps.data(), maps.rows(), maps.cols() / channels, 1, channels);
}

std::vector<Variant> default_variants(const Settings& settings);  // the few that show the point of the experiments
std::vector<Variant> other_variants(const Settings& settings);
std::vector<Variant> hidden_variants(const Settings& settings);
std::vector<Variant> all_variants(const Settings& settings);

enum class Curve { none, solid, dashed };

struct Metric {
  std::string key;
  std::string heading;
  Curve curve;
};
using Metrics = std::vector<double>;   // a value for each of an experiment's metrics, as a fraction of 1
using History = std::vector<Metrics>;  // after each epoch

struct Experiment {
  std::string key;
  std::string title;
  std::string summary;
  std::vector<Metric> metrics;
  Samples (*transfer_samples)(const Samples& train, const Settings& settings, std::uint32_t seed);
  Metrics (*evaluate)(const Network& network, const Dataset& data);
};
std::vector<Experiment> all_experiments(const Settings& settings, const Dataset& data);

// Whether both parts of the data contain the missing class, and the training part others too.
bool can_miss_a_class(const Dataset& data);

struct Students {
  Variant variant;
  std::vector<History> histories;  // [seed]
};

struct Results {
  Experiment experiment;
  std::vector<Metrics> teachers;  // [seed]
  std::vector<Students> students;
};

struct Outcome {
  std::vector<Results> results;
  Network first_teacher;
};

// The number of epochs, over all networks, that run() trains.
int epochs_to_train(const Settings& settings, const Dataset& data, bool teacher_is_loaded);

// Trains a teacher for each seed (unless one is given, which then serves them all) and the students of each experiment.
// Seeds are spread over threads, which does not change the results. `after_epoch` is called from any of them.
Outcome run(const Settings& settings, const Dataset& data, const std::optional<Network>& teacher, int threads,
            const std::function<void()>& after_epoch);

}  // namespace mlp
