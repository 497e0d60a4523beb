#include "experiments.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <distill/distill.hpp>
#include <exception>
#include <mutex>
#include <thread>

namespace mlp {

// Here distill meets the trainer: each loss is called with a batch's logits and fills the gradient that
// back-propagation starts from.
std::vector<Variant> all_variants(const Settings& settings) {
  const distill::CrossEntropy cross_entropy;
  const distill::CrossEntropy smoothed{.label_smoothing = label_smoothing};
  const distill::KnowledgeDistillation distillation{.temperature = settings.temperature, .alpha = settings.alpha};
  const distill::KlDivergence divergence{.temperature = settings.temperature};
  return {
      {"labels", "labels only",
       [=](const Matrix& logits, const TransferSet& batch, Matrix& gradient) {
         return cross_entropy(logits, batch.samples.labels, gradient);
       }},
      {"label-smoothing", "label smoothing",
       [=](const Matrix& logits, const TransferSet& batch, Matrix& gradient) {
         return smoothed(logits, batch.samples.labels, gradient);
       }},
      {"kd", "KD: teacher and labels",
       [=](const Matrix& logits, const TransferSet& batch, Matrix& gradient) {
         return distillation(logits, batch.teacher_logits, batch.samples.labels, gradient);
       }},
      {"kl", "KL: teacher only",
       [=](const Matrix& logits, const TransferSet& batch, Matrix& gradient) {
         return divergence(logits, batch.teacher_logits, gradient);
       }},
  };
}

namespace {

Samples few_labelled_samples(const Samples& train, const Settings& settings, std::uint32_t seed) {
  std::vector<int> rows = iota(train.size());
  Random(seed, Purpose::few_labels).shuffle(rows);
  rows.resize(static_cast<std::size_t>(settings.labels));
  return select(train, rows);
}

Samples samples_without_digit(const Samples& train, const Settings&, std::uint32_t) {
  std::vector<int> rows = iota(train.size());
  std::erase_if(rows, [&](int row) { return train.labels[static_cast<std::size_t>(row)] == missing_digit; });
  return select(train, rows);
}

Metrics evaluate_all_digits(const Network& network, const Digits& digits) {
  return {accuracy(predict_logits(network, digits.test.inputs), digits.test.labels)};
}

// What must be added to the logit of `digit` so that its probability, averaged over the rows, is `prior`.
// With m = log(p / (1 - p)), a row's probability becomes 1 / (1 + exp(-m - bias)): it only grows, so bisection finds
// it.
double bias_for_prior(int digit, const Matrix& logits, double prior) {
  Matrix log_probabilities(logits.rows(), logits.cols());
  distill::log_softmax(logits, log_probabilities);
  const Eigen::ArrayXd log_p = log_probabilities.col(digit).cast<double>();
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

// The corrected metrics use the training inputs of all digits, but of their labels only how many of them are a 3.
Metrics evaluate_missing_digit(const Network& network, const Digits& digits) {
  const auto missing = std::count(digits.train.labels.begin(), digits.train.labels.end(), missing_digit);
  const double prior = static_cast<double>(missing) / digits.train.size();
  const double bias = bias_for_prior(missing_digit, predict_logits(network, digits.train.inputs), prior);

  const std::vector<int>& labels = digits.test.labels;
  const Matrix logits = predict_logits(network, digits.test.inputs);
  Matrix corrected = logits;
  corrected.col(missing_digit).array() += static_cast<float>(bias);
  return {accuracy_on(missing_digit, logits, labels), accuracy(logits, labels),
          accuracy_on(missing_digit, corrected, labels), accuracy(corrected, labels)};
}

}  // namespace

std::vector<Experiment> all_experiments(const Settings& settings) {
  const std::string labels = std::to_string(settings.labels);
  const std::string digit = std::to_string(missing_digit);
  return {
      {"few_labels",
       "Few labels",
       "The teacher learns from " + std::to_string(train_size) + " labelled images, a student sees only " + labels +
           " of them.",
       {{"accuracy", "all digits", Curve::solid}},
       few_labelled_samples,
       evaluate_all_digits},
      {"missing_digit",
       "The missing digit",
       "The teacher learns from all digits, a student never sees a " + digit + ". Corrected: the bias of class " +
           digit + " is raised\nuntil its mean probability on unlabelled images is the share that " + digit +
           "s are known to have.",
       {{"accuracy_on_missing", digit + "s", Curve::solid},
        {"accuracy", "all digits", Curve::none},
        {"accuracy_on_missing_corrected", digit + "s, corrected", Curve::dashed},
        {"accuracy_corrected", "all, corrected", Curve::none}},
       samples_without_digit,
       evaluate_missing_digit},
  };
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

Network train_teacher(const Settings& settings, const Samples& samples, std::uint32_t seed,
                      const std::function<void()>& after_epoch) {
  Random random(seed, Purpose::teacher);
  Network teacher = make_network({pixels, teacher_hidden, classes}, random);
  const Loss labels = all_variants(settings).front().loss;
  const Schedule schedule{settings.teacher_epochs, batch_size, learning_rate};
  train(teacher, {samples, {}}, labels, schedule, random, [&](const Network&) { after_epoch(); });
  return teacher;
}

History train_student(const Settings& settings, const Experiment& experiment, const Loss& loss, const TransferSet& set,
                      const Digits& digits, std::uint32_t seed, const std::function<void()>& after_epoch) {
  Random random(seed, Purpose::student);  // the same for each variant: the same initial weights and the same batches
  Network student = make_network({pixels, settings.hidden, classes}, random);
  const Schedule schedule{settings.epochs, batch_size, learning_rate};
  History history;
  train(student, set, loss, schedule, random, [&](const Network& network) {
    history.push_back(experiment.evaluate(network, digits));
    after_epoch();
  });
  return history;
}

}  // namespace

int epochs_to_train(const Settings& settings, bool teacher_is_loaded) {
  const auto experiments = chosen(all_experiments(settings), settings.experiments).size();
  const auto variants = chosen(all_variants(settings), settings.losses).size();
  const int student_epochs = static_cast<int>(experiments * variants) * settings.epochs;
  return settings.seeds * (student_epochs + (teacher_is_loaded ? 0 : settings.teacher_epochs));
}

Outcome run(const Settings& settings, const Digits& digits, const std::optional<Network>& given_teacher, int threads,
            const std::function<void()>& after_epoch) {
  const auto seeds = static_cast<std::size_t>(settings.seeds);
  Outcome outcome;
  for (const Experiment& experiment : chosen(all_experiments(settings), settings.experiments)) {
    Results results{experiment, std::vector<Metrics>(seeds), {}};
    for (const Variant& variant : chosen(all_variants(settings), settings.losses)) {
      results.students.push_back({variant, std::vector<History>(seeds)});
    }
    outcome.results.push_back(results);
  }

  parallel_for(settings.seeds, threads, [&](int i) {
    const auto seed = static_cast<std::uint32_t>(i) + 1;
    const auto slot = static_cast<std::size_t>(i);
    const Network teacher = given_teacher ? *given_teacher : train_teacher(settings, digits.train, seed, after_epoch);
    if (i == 0) outcome.first_teacher = teacher;
    for (Results& results : outcome.results) {
      const Experiment& experiment = results.experiment;
      results.teachers[slot] = experiment.evaluate(teacher, digits);
      TransferSet set{experiment.transfer_samples(digits.train, settings, seed), {}};
      set.teacher_logits = predict_logits(teacher, set.samples.inputs);
      for (Students& students : results.students) {
        students.histories[slot] =
            train_student(settings, experiment, students.variant.loss, set, digits, seed, after_epoch);
      }
    }
  });
  return outcome;
}

}  // namespace mlp
