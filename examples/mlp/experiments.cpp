#include "experiments.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <distill/logits/log_softmax.hpp>
#include <exception>
#include <iterator>
#include <mutex>
#include <thread>

namespace mlp {

std::vector<Variant> all_variants(const Settings& settings) {
  std::vector<Variant> variants = default_variants(settings);
  std::ranges::move(other_variants(settings), std::back_inserter(variants));
  std::ranges::move(hidden_variants(settings), std::back_inserter(variants));
  return variants;
}

namespace {

Samples few_labelled_samples(const Samples& train, const Settings& settings, std::uint32_t seed) {
  std::vector<int> rows = iota(train.size());
  Random(seed, Purpose::few_labels).shuffle(rows);
  rows.resize(static_cast<std::size_t>(settings.labels));
  return select(train, rows);
}

Samples samples_without_missing_class(const Samples& train, const Settings&, std::uint32_t) {
  std::vector<int> rows = iota(train.size());
  std::erase_if(rows, [&](int row) { return train.labels[static_cast<std::size_t>(row)] == missing_class; });
  return select(train, rows);
}

Metrics evaluate_all_classes(const Network& network, const Dataset& data) {
  return {accuracy(predict_logits(network, data.test.inputs), data.test.labels)};
}

// What must be added to the logit of `label` so that its probability, averaged over the rows, is `prior`.
// With m = log(p / (1 - p)), a row's probability becomes 1 / (1 + exp(-m - bias)): it only grows, so bisection finds
// it.
double bias_for_prior(int label, const Matrix& logits, double prior) {
  Matrix log_probabilities(logits.rows(), logits.cols());
  distill::log_softmax(logits, log_probabilities);
  const Eigen::ArrayXd log_p = log_probabilities.col(label).cast<double>();
  const Eigen::ArrayXd log_odds = log_p - (-log_p.exp()).log1p();
  double low = -1000;
  double high = 1000;
  while (high - low > 1e-6) {
    const double bias = (low + high) / 2;
    const double mean = (1 / (1 + (-log_odds - bias).exp())).mean();
    (mean < prior ? low : high) = bias;
  }
  return (low + high) / 2;
}

// The corrected metrics use the training inputs of all classes, but of their labels only how many are the missing one.
Metrics evaluate_missing_class(const Network& network, const Dataset& data) {
  const auto missing = std::count(data.train.labels.begin(), data.train.labels.end(), missing_class);
  const double prior = static_cast<double>(missing) / data.train.size();
  const double bias = bias_for_prior(missing_class, predict_logits(network, data.train.inputs), prior);

  const std::vector<int>& labels = data.test.labels;
  const Matrix logits = predict_logits(network, data.test.inputs);
  Matrix corrected = logits;
  corrected.col(missing_class).array() += static_cast<float>(bias);
  return {accuracy_on(missing_class, logits, labels), accuracy(logits, labels),
          accuracy_on(missing_class, corrected, labels), accuracy(corrected, labels)};
}

}  // namespace

std::vector<Experiment> all_experiments(const Settings& settings, const Dataset& data) {
  const std::string all = "all " + data.kinds;
  const std::string missing = data.kind + " " + std::to_string(missing_class);
  return {
      {"few_labels",
       "Few labels",
       "The teacher learns from " + std::to_string(data.train.size()) + " labelled images, a student sees only " +
           std::to_string(settings.labels) + " of them.",
       {{"accuracy", all, Curve::solid}},
       few_labelled_samples,
       evaluate_all_classes},
      {"missing_digit",
       "The missing " + data.kind,
       "The teacher learns from " + all + ", a student never sees " + missing + ". Corrected: its bias is raised\n" +
           "until its mean probability on unlabelled images is the share that it is known to have.",
       {{"accuracy_on_missing", missing, Curve::solid},
        {"accuracy", all, Curve::none},
        {"accuracy_on_missing_corrected", missing + ", corr.", Curve::dashed},
        {"accuracy_corrected", "all, corrected", Curve::none}},
       samples_without_missing_class,
       evaluate_missing_class},
  };
}

bool can_miss_a_class(const Dataset& data) {
  const auto missing = [](const Samples& samples) { return std::ranges::count(samples.labels, missing_class); };
  return missing(data.train) > 0 && missing(data.train) < data.train.size() && missing(data.test) > 0;
}

namespace {

// Calls body(0) ... body(count - 1), spread over threads. The first exception ends the work and is thrown again.
void parallel_for(int count, int threads, const std::function<void(int)>& body) {
  std::atomic<int> next = 0;
  std::exception_ptr failure;
  std::mutex mutex;
  const auto work = [&] {
    for (int i = next++; i < count; i = next++) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next = count;
      }
    }
  };
  std::vector<std::jthread> others;
  for (int i = 1; i < std::min(threads, count); ++i) others.emplace_back(work);
  work();
  others.clear();  // joins
  if (failure) std::rethrow_exception(failure);
}

template <class Item>
std::vector<Item> chosen(std::vector<Item> items, const std::vector<std::string>& keys) {
  if (keys.empty()) return items;
  std::erase_if(items, [&](const Item& item) { return std::find(keys.begin(), keys.end(), item.key) == keys.end(); });
  return items;
}

std::vector<Variant> chosen_variants(const Settings& settings) {
  return settings.losses.empty() ? default_variants(settings) : chosen(all_variants(settings), settings.losses);
}

Network train_teacher(const Settings& settings, const Dataset& data, std::uint32_t seed,
                      const std::function<void()>& after_epoch) {
  Random random(seed, Purpose::teacher);
  Random random_of_loss(seed, Purpose::loss);
  Network teacher = make_network({data.patch_pixels(), teacher_channels, teacher_hidden, data.classes}, random);
  const Loss labels = default_variants(settings).front().loss;
  const Schedule schedule{settings.teacher_epochs, batch_size, learning_rate};
  train(teacher, {}, random_of_loss, {data.train, {}}, labels, schedule, random,
        [&](const Network&) { after_epoch(); });
  return teacher;
}

History train_student(const Settings& settings, const Experiment& experiment, const Variant& variant,
                      const Network& teacher, const TransferSet& set, const Dataset& data, std::uint32_t seed,
                      const std::function<void()>& after_epoch) {
  Random random(seed, Purpose::student);  // the same for each variant: the same initial weights and the same batches
  Network student = make_network({data.patch_pixels(), settings.channels, settings.hidden, data.classes}, random);
  Random random_of_loss(seed, Purpose::loss);
  std::vector<Layer> own;
  if (variant.make_own) own = variant.make_own(student, teacher, random_of_loss);
  const Schedule schedule{settings.epochs, batch_size, learning_rate};
  History history;
  train(student, std::move(own), random_of_loss, set, variant.loss, schedule, random, [&](const Network& network) {
    history.push_back(experiment.evaluate(network, data));
    after_epoch();
  });
  return history;
}

}  // namespace

int epochs_to_train(const Settings& settings, const Dataset& data, bool teacher_is_loaded) {
  const auto experiments = chosen(all_experiments(settings, data), settings.experiments).size();
  const auto variants = chosen_variants(settings).size();
  const int student_epochs = static_cast<int>(experiments * variants) * settings.epochs;
  return settings.seeds * (student_epochs + (teacher_is_loaded ? 0 : settings.teacher_epochs));
}

Outcome run(const Settings& settings, const Dataset& data, const std::optional<Network>& given_teacher, int threads,
            const std::function<void()>& after_epoch) {
  const auto seeds = static_cast<std::size_t>(settings.seeds);
  Outcome outcome;
  for (const Experiment& experiment : chosen(all_experiments(settings, data), settings.experiments)) {
    Results results{experiment, std::vector<Metrics>(seeds), {}};
    for (const Variant& variant : chosen_variants(settings)) {
      results.students.push_back({variant, std::vector<History>(seeds)});
    }
    outcome.results.push_back(results);
  }

  parallel_for(settings.seeds, threads, [&](int i) {
    const auto seed = static_cast<std::uint32_t>(i) + 1;
    const auto slot = static_cast<std::size_t>(i);
    const Network teacher = given_teacher ? *given_teacher : train_teacher(settings, data, seed, after_epoch);
    if (i == 0) outcome.first_teacher = teacher;
    for (Results& results : outcome.results) {
      const Experiment& experiment = results.experiment;
      results.teachers[slot] = experiment.evaluate(teacher, data);
      TransferSet set{experiment.transfer_samples(data.train, settings, seed), {}};
      set.teacher = forward(teacher, set.samples.inputs);
      for (Students& students : results.students) {
        students.histories[slot] =
            train_student(settings, experiment, students.variant, teacher, set, data, seed, after_epoch);
      }
    }
  });
  return outcome;
}

}  // namespace mlp
