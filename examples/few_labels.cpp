#include "few_labels.hpp"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>

#include "experiments.hpp"
#include "idx_folder.hpp"
#include "report.hpp"
#include "statistics.hpp"
#include "training.hpp"

namespace few_labels {
namespace {

constexpr int epochs = 100;
constexpr int teacher_epochs = 30;

struct Options {
  int seeds = 3;
  std::string folder;
};

void define_options(CLI::App& app, Options& options) {
  app.add_option("SEEDS", options.seeds, "Repetitions, each with its own teacher")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option(
         "--data", options.folder,
         "Holds images in the files of MNIST: {train,t10k}-{images-idx3,labels-idx1}-ubyte, plain or .gz; default "
         "handwritten digits, which are in the program")
      ->type_name("FOLDER");
}

}  // namespace

int compare(const mlp::Dataset& data, const Train& train, const std::vector<OtherWay>& others, int seeds) {
  mlp::Settings settings;
  settings.train_images = data.train.size();
  const auto accuracy = [&](const Network& network) -> mlp::Metrics {
    return {mlp::accuracy(network(data.test.inputs), data.test.labels)};
  };

  mlp::Results results{mlp::all_experiments(settings, data).front(), {}, {}};
  results.students = {{{"labels", "labels only", {}}, {}}, {{"kd", "KD: teacher and labels", {}}, {}}};
  for (const OtherWay& other : others) results.students.push_back({{"kd", other.name, {}}, {}});
  for (int i = 1; i <= seeds; ++i) {
    const auto seed = static_cast<std::uint32_t>(i);
    const Network teacher = train({data.train, {}, data.classes, teacher_hidden, teacher_epochs, seed});
    results.teachers.push_back(accuracy(teacher));

    const mlp::Samples samples = results.experiment.transfer_samples(data.train, settings, seed);
    const mlp::Matrix logits = teacher(samples.inputs);
    const auto add = [&](std::size_t student, const Train& way, const mlp::Matrix& of_teacher) {
      const Task task{samples, of_teacher, data.classes, student_hidden, epochs, seed};
      results.students[student].histories.push_back({accuracy(way(task))});
    };
    add(0, train, {});
    add(1, train, logits);
    for (std::size_t k = 0; k < others.size(); ++k) add(2 + k, others[k].train, logits);
  }
  mlp::print_table(std::cout, results);
  const double labels = mlp::final_summary(results.students[0], 0).mean;
  for (std::size_t k = 1; k < results.students.size(); ++k) {
    if (mlp::final_summary(results.students[k], 0).mean > labels) continue;
    std::cerr << "A student with a teacher is not better than the one without\n";
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}

int run(int argc, char** argv, const Train& train, const std::vector<OtherWay>& others) {
  Options options;
  CLI::App app("Trains a teacher on all images and students on 100 of them, with and without the teacher.");
  define_options(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    const mlp::Dataset data = options.folder.empty()
                                  ? mlp::load_digits()
                                  : mlp::load_idx_folder(options.folder, mlp::Settings{}.train_images);
    return compare(data, train, others, options.seeds);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return EXIT_FAILURE;
  }
}

}  // namespace few_labels
