#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "curves.hpp"
#include "data.hpp"
#include "experiments.hpp"
#include "files.hpp"
#include "gnuplot.hpp"
#include "idx_folder.hpp"
#include "network.hpp"
#include "progress.hpp"
#include "report.hpp"

namespace {

namespace fs = std::filesystem;

constexpr int exit_code_of_errors = 2;

struct Options {
  mlp::Settings settings;
  int threads = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 256);
  fs::path out = "demo";
  fs::path save;
  fs::path load;
};

// Rejects what is outside a range; NaN is outside every range.
CLI::Validator between(double low, double high, const std::string& range) {
  const auto check = [=](const std::string& text) {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    const bool fine = !text.empty() && *end == '\0' && value >= low && value <= high;
    return fine ? std::string() : "must be a number from " + range + ", not " + text;
  };
  return CLI::Validator(check, "");
}

template <class Item>
std::vector<std::string> keys(const std::vector<Item>& items) {
  std::vector<std::string> keys;
  for (const Item& item : items) keys.push_back(item.key);
  return keys;
}

void define_options(CLI::App& app, Options& options) {
  mlp::Settings& settings = options.settings;
  app.description(
      "Trains small networks on handwritten digits, with and without a teacher, and compares them.\n\n"
      "few_labels     The teacher learns from all training images, a student sees only some of them.\n"
      "missing_digit  The teacher learns from all digits, a student never sees a 3.\n\n"
      "With --data FOLDER the same on any images in the files of MNIST: {train,t10k}-{images-idx3,labels-idx1}-ubyte,\n"
      "plain or .gz. Then 3 is whatever class has that number.\n");
  app.footer(
      "Losses, as functions of the student's and the teacher's outputs on a mini-batch:\n"
      "  labels           cross entropy with the labels\n"
      "  label-smoothing  the same, with a tenth of each label spread evenly over all classes\n"
      "  kd               alpha T^2 KL(teacher || student) + (1 - alpha) cross entropy with the labels\n"
      "  kl               T^2 KL(teacher || student): the teacher alone, no labels\n"
      "  kd-features      kd, and the teacher's hidden units from the student's, through a layer trained along\n"
      "  kd-attention     kd, and where in the image the patch layers of both are active\n"
      "These six are run by default. Also:\n"
      "  reverse-kl, symmetric-kl, jsd, skewed-kl, skewed-reverse-kl, tv, alpha, adaptive-kl, binary-kl\n"
      "                   other distances of the same probabilities, in place of kl\n"
      "  two-teachers     kl, half of it from the teacher's log-probabilities as if from another teacher\n"
      "  top-k            kl, where only the teacher's 3 most probable classes are known\n"
      "  sampled          reverse KL at T = 1, estimated from a class that the student draws\n"
      "  logit-mse, logit-cosine\n"
      "                   distances of the outputs themselves\n"
      "  standardised-kd, dkd, wsld, dist, multi-level, uld\n"
      "                   beside cross entropy with the labels; T and weights as published\n"
      "  features, vid, contrastive, nst, rkd-distance, rkd-angle, similarity, pkt, congruence, cka\n"
      "                   hidden layers, beside cross entropy with the labels; weights as published\n"
      "KL compares the softmax of both at temperature T. The students of a seed start from the same weights, see the\n"
      "same mini-batches and take the same number of steps: only the loss differs.");
  app.set_help_flag("-h,--help", "Print this and exit");
  app.get_formatter()->column_width(26);

  const auto choice = [&](const char* name, auto& value, const std::vector<std::string>& choices, const char* help) {
    app.add_option(name, value, help)
        ->type_name("NAMES")
        ->delimiter(',')
        ->check(CLI::IsMember(choices).description(""))
        ->group("What to compare");
  };
  choice("--experiment", settings.experiments, keys(mlp::all_experiments(settings, {})),
         "Of the two above; default both");
  std::vector<std::string> losses = keys(mlp::all_variants(settings));
  losses.push_back("all");
  choice("--loss", settings.losses, losses, "Of those below, as in kd,labels, or all; default the first six");

  const auto number = [&](const char* name, auto& value, double low, double high, const char* help, const char* group) {
    std::ostringstream range;
    range << low << " to " << high;
    app.add_option(name, value, std::string(help) + " (" + range.str() + ")")
        ->type_name("N")
        ->check(between(low, high, range.str()))
        ->capture_default_str()
        ->group(group);
  };
  number("--temperature", settings.temperature, 0.01, 1000, "T of all losses that have none of their own", "Losses");
  number("--alpha", settings.alpha, 0, 1, "Weight of the teacher in kd", "Losses");
  number("--hint-weight", settings.hint_weight, 0, 1e6, "Weight of the hidden units in kd-features", "Losses");
  number("--attention-weight", settings.attention_weight, 0, 1e6, "Weight of the maps in kd-attention", "Losses");
  app.add_option("--data", settings.data, "Holds the images; default handwritten digits, which are in the program")
      ->type_name("FOLDER")
      ->group("Data");
  number("--train-images", settings.train_images, 10, 1e6, "Training images to draw from the folder", "Data");
  number("--labels", settings.labels, 10, 1e6, "Images that a student of few_labels sees", "Training");
  number("--channels", settings.channels, 1, 256, "Channels of a student's patch layer", "Training");
  number("--hidden", settings.hidden, 1, 1024, "Hidden units of a student", "Training");
  number("--epochs", settings.epochs, 1, 10000, "Passes of a student over its images, or 1000 of them", "Training");
  number("--teacher-epochs", settings.teacher_epochs, 1, 10000, "Passes of a teacher over its images, or 1000 of them",
         "Training");
  number("--seeds", settings.seeds, 1, 1000, "Repetitions, each with its own teacher", "Training");
  number("--threads", options.threads, 1, 256, "Seeds at a time; changes no result", "Training");

  const auto file = [&](const char* name, fs::path& path, const char* type, const char* help) {
    app.add_option(name, path, help)->type_name(type)->capture_default_str()->group("Files");
  };
  file("--out", options.out, "FOLDER", "Gets report.json and the learning curves");
  file("--save", options.save, "FILE", "Gets the teacher of the first seed");
  file("--load", options.load, "FILE", "Holds the teacher of all seeds: none is trained");
}

void refuse_contradictions(const CLI::App& app) {
  for (const char* option : {"--save", "--teacher-epochs"}) {
    if (app.count("--load") > 0 && app.count(option) > 0) {
      throw std::runtime_error(std::string(option) + " has no meaning with --load: no teacher is trained");
    }
  }
  if (app.count("--train-images") > 0 && app.count("--data") == 0) {
    throw std::runtime_error("--train-images has no meaning without --data: the digits are always split alike");
  }
}

// Loads the data and sets what depends on it.
mlp::Dataset load_data(mlp::Settings& settings) {
  mlp::Dataset data =
      settings.data.empty() ? mlp::load_digits() : mlp::load_idx_folder(settings.data, settings.train_images);
  settings.train_images = data.train.size();
  if (settings.labels > settings.train_images) {
    throw std::runtime_error("--labels: must be a number from 10 to " + std::to_string(settings.train_images) +
                             ", the training images, not " + std::to_string(settings.labels));
  }
  if (mlp::can_miss_a_class(data)) return data;
  const std::string reason = "missing_digit needs images of class " + std::to_string(mlp::missing_class) +
                             " and of others, to train and to test";
  if (settings.experiments.empty()) {
    std::cout << "Only few_labels is run: " << reason << ".\n\n";
    settings.experiments = {"few_labels"};
  } else if (std::ranges::count(settings.experiments, "missing_digit") > 0) {
    throw std::runtime_error("--experiment: " + reason);
  }
  return data;
}

void prepare_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw std::runtime_error("cannot create folder " + folder.string() + ": " + error.message());
  mlp::check_writable(folder / "report.json");
}

void write_results(const mlp::Outcome& outcome, const Options& options) {
  const bool can_draw = gnuplot::is_installed();
  const auto announce = [](const fs::path& path) { std::cout << "wrote " << path.string() << '\n'; };
  const auto write = [&](const std::string& name, const std::string& text) {
    mlp::write_file(options.out / name, text);
    announce(options.out / name);
  };
  write("report.json", mlp::to_json(outcome, options.settings, !options.load.empty()));
  for (const mlp::Results& results : outcome.results) {
    write(results.experiment.key + ".csv", mlp::curves_csv(results));
    const fs::path drawing = options.out / (results.experiment.key + ".svg");
    fs::remove(drawing);  // an old drawing must not pass for this run's
    if (!can_draw) continue;
    if (mlp::draw_curves(results, drawing)) {
      announce(drawing);
    } else {
      std::cout << "gnuplot failed to draw " << drawing.string() << '\n';
    }
  }
  if (!can_draw) {
    std::cout << "gnuplot is not installed, so no learning curves were drawn (Debian: apt-get install gnuplot-nox)\n";
  }
  if (!options.save.empty()) {
    mlp::save_network(outcome.first_teacher, options.save);
    announce(options.save);
  }
}

void run(Options options) {
  // Whatever could fail after training is tried before it.
  const mlp::Dataset data = load_data(options.settings);
  std::optional<mlp::Network> teacher;
  if (!options.load.empty()) teacher = mlp::load_network(options.load, data.patch_pixels(), data.classes);
  if (!options.save.empty()) mlp::check_writable(options.save);
  prepare_folder(options.out);

  mlp::Outcome outcome;
  {
    mlp::Progress progress(mlp::epochs_to_train(options.settings, data, teacher.has_value()));
    outcome = mlp::run(options.settings, data, teacher, options.threads, [&] { progress.advance(); });
  }
  for (const mlp::Results& results : outcome.results) mlp::print_table(std::cout, results);
  write_results(outcome, options);
  if (!std::cout.flush()) throw std::runtime_error("cannot write to the standard output");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Options options;
    CLI::App app;
    define_options(app, options);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      if (error.get_exit_code() == 0) return app.exit(error);  // --help
      throw;
    }
    refuse_contradictions(app);
    mlp::Settings& settings = options.settings;
    if (std::ranges::count(settings.losses, "all") > 0) settings.losses = keys(mlp::all_variants(settings));
    run(options);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "distill_mlp: " << error.what() << '\n';
    return exit_code_of_errors;
  }
}
