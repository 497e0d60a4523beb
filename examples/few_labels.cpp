#include "few_labels.hpp"

#include <cstdlib>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>

#include "experiments.hpp"
#include "report.hpp"
#include "statistics.hpp"
#include "training.hpp"

namespace few_labels {
namespace {

constexpr int epochs = 100;
constexpr int teacher_epochs = 30;

int parse_seeds(int argc, char** argv) {
  if (argc == 1) return 3;
  const int seeds = argc == 2 ? std::atoi(argv[1]) : 0;
  if (seeds < 1) throw std::runtime_error("usage: " + std::string(argv[0]) + " [SEEDS]");
  return seeds;
}

}  // namespace

int compare(const std::function<Network(const Task&)>& train, int seeds) {
  const mlp::Settings settings;
  const mlp::Dataset data = mlp::load_digits();
  const auto accuracy = [&](const Network& network) -> mlp::Metrics {
    return {mlp::accuracy(network(data.test.inputs), data.test.labels)};
  };

  mlp::Results results{mlp::all_experiments(settings, data).front(), {}, {}};
  results.students = {{{"labels", "labels only", {}}, {}}, {{"kd", "KD: teacher and labels", {}}, {}}};
  for (int i = 1; i <= seeds; ++i) {
    const auto seed = static_cast<std::uint32_t>(i);
    const Network teacher = train({data.train, {}, data.classes, teacher_hidden, teacher_epochs, seed});
    results.teachers.push_back(accuracy(teacher));

    const mlp::Samples samples = results.experiment.transfer_samples(data.train, settings, seed);
    for (const mlp::Matrix& logits : {mlp::Matrix{}, teacher(samples.inputs)}) {
      const Task task{samples, logits, data.classes, student_hidden, epochs, seed};
      results.students[task.has_teacher()].histories.push_back({accuracy(train(task))});
    }
  }
  mlp::print_table(std::cout, results);
  const double labels = mlp::final_summary(results.students[0], 0).mean;
  const double kd = mlp::final_summary(results.students[1], 0).mean;
  if (kd > labels) return EXIT_SUCCESS;
  std::cerr << "The student with a teacher is not better than the one without\n";
  return EXIT_FAILURE;
}

int run(int argc, char** argv, const std::function<Network(const Task&)>& train) {
  try {
    return compare(train, parse_seeds(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return EXIT_FAILURE;
  }
}

}  // namespace few_labels
