// mlp.test [doctest options] PROGRAM: the parts of the example by themselves, and the program as a user runs it.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "data.hpp"
#include "experiments.hpp"
#include "files.hpp"
#include "network.hpp"
#include "random.hpp"
#include "training.hpp"

namespace {

namespace fs = std::filesystem;

std::string program;

// A folder of this test's own, gone with the object.
struct Folder {
  fs::path path = fs::temp_directory_path() / ("distill_mlp_test_" + std::to_string(getpid()));

  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string operator/(const std::string& name) const { return (path / name).string(); }
};

std::string slurp(const std::string& path) {
  return mlp::read_file(path, std::size_t{1} << 26);
}

void spill(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

struct Run {
  int code;
  std::string out;
  std::string err;
};

Run run(const Folder& folder, const std::string& arguments) {
  const std::string out = folder / "stdout";
  const std::string err = folder / "stderr";
  const int status = std::system(("'" + program + "' " + arguments + " >'" + out + "' 2>'" + err + "'").c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, slurp(out), slurp(err)};
}

bool is_one_line(const std::string& text) {
  return !text.empty() && text.find('\n') == text.size() - 1;
}

std::string load_error(const std::string& path) {
  try {
    mlp::load_network(path, 4, 10);
    return "";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

const std::string quick = "--seeds 1 --epochs 1 --teacher-epochs 2 ";

}  // namespace

TEST_SUITE("parts") {
  TEST_CASE("the digits are whole, in range and always split alike") {
    const mlp::Dataset digits = mlp::load_digits();
    CHECK(digits.train.size() == 1000);
    CHECK(digits.test.size() == 797);
    for (const mlp::Samples* samples : {&digits.train, &digits.test}) {
      CHECK(samples->inputs.rows() == samples->size());
      CHECK(samples->inputs.minCoeff() == 0);
      CHECK(samples->inputs.maxCoeff() == 1);
      CHECK(std::set<int>(samples->labels.begin(), samples->labels.end()).size() == 10);
    }
    CHECK(mlp::load_digits().train.labels == digits.train.labels);
  }

  TEST_CASE("random numbers are what the standard defines") {
    mlp::Random random(1, mlp::Purpose::split);
    std::seed_seq sequence{1, 0};
    std::mt19937_64 engine(sequence);
    CHECK(random.uniform() == static_cast<double>(engine() >> 11) / 9007199254740992.0);
    std::vector<int> items = mlp::iota(50);
    random.shuffle(items);
    CHECK(items != mlp::iota(50));
    CHECK(std::set<int>(items.begin(), items.end()).size() == 50);
  }

  TEST_CASE("backward is the derivative of any function of the activations") {
    mlp::Random random(1, mlp::Purpose::student);
    const auto fill = [&](mlp::Matrix& matrix, Eigen::Index rows, Eigen::Index columns) {
      matrix.resize(rows, columns);
      for (float& value : matrix.reshaped()) value = static_cast<float>(random.uniform() - 0.5);
    };
    mlp::Network network = mlp::make_network({3, 2, 5, 4}, random);
    mlp::Matrix inputs;
    fill(inputs, 7, mlp::patches * 3);
    mlp::Activations direction;
    fill(direction.maps, 7, mlp::patches * 2);
    fill(direction.features, 7, 5);
    fill(direction.logits, 7, 4);
    const auto objective = [&] {
      const auto [maps, features, logits] = mlp::forward(network, inputs);
      return maps.cwiseProduct(direction.maps).cast<double>().sum() +
             features.cwiseProduct(direction.features).cast<double>().sum() +
             logits.cwiseProduct(direction.logits).cast<double>().sum();
    };
    const mlp::Network gradient = mlp::backward(network, inputs, mlp::forward(network, inputs), direction);

    constexpr float step = 1e-3F;
    const auto check = [&](float& parameter, float slope) {
      const float old = parameter;
      parameter = old + step;
      const double above = objective();
      parameter = old - step;
      const double below = objective();
      parameter = old;
      CHECK(std::abs((above - below) / (2 * step) - slope) < 5e-3);
    };
    for (std::size_t i = 0; i < network.size(); ++i) {
      for (Eigen::Index j = 0; j < network[i].weights.size(); ++j) {
        check(network[i].weights.data()[j], gradient[i].weights.data()[j]);
      }
      for (Eigen::Index j = 0; j < network[i].bias.size(); ++j) check(network[i].bias[j], gradient[i].bias[j]);
    }
  }

  TEST_CASE("the maps hold for each sample and patch the channels of that patch alone") {
    mlp::Random random(1, mlp::Purpose::student);
    const mlp::Network network = mlp::make_network({3, 2, 5, 4}, random);
    mlp::Matrix inputs = mlp::Matrix::Ones(2, mlp::patches * 3);
    const mlp::Matrix before = mlp::forward(network, inputs).maps;
    inputs.block(1, 6 * 3, 1, 3).setConstant(2);  // patch 6 of sample 1
    const mlp::Matrix change = mlp::forward(network, inputs).maps - before;
    const mlp::RowVector once = network[0].weights.colwise().sum();
    CHECK(before.row(0).head(2).isApprox(once.cwiseMax(0)));
    CHECK(change.block(1, 6 * 2, 1, 2).isApprox(once.cwiseMax(0)));
    CHECK(change.norm() == doctest::Approx(once.cwiseMax(0).norm()));
  }

  TEST_CASE("a loss's own parameters are trained along, and hidden layers follow its gradient") {
    const mlp::Dataset digits = mlp::load_digits();
    mlp::Random random(1, mlp::Purpose::student);
    const mlp::Network teacher = mlp::make_network({4, 8, 12, 10}, random);
    mlp::Network student = mlp::make_network({4, 8, 8, 10}, random);
    const mlp::Samples samples = mlp::select(digits.train, mlp::iota(100));
    std::vector<double> values;
    // The squared distance of the teacher's features from a linear map of the student's.
    const mlp::Loss hint = [&](const mlp::Step& step) {
      const mlp::Layer& projection = step.own.front();
      const auto rows = static_cast<float>(step.labels.size());
      mlp::Matrix difference = step.student.features * projection.weights - step.teacher.features;
      difference.rowwise() += projection.bias;
      step.gradient.features = 2 / rows * difference * projection.weights.transpose();
      step.own_gradient.front().weights = 2 / rows * step.student.features.transpose() * difference;
      step.own_gradient.front().bias = 2 / rows * difference.colwise().sum();
      values.push_back(difference.squaredNorm() / rows);
      return values.back();
    };
    const mlp::Layer output = student[2];
    const auto trained_to = [&](const mlp::Loss& loss) {
      mlp::Network trained = student;
      mlp::Random random_batches(1, mlp::Purpose::student);
      mlp::Random random_of_loss(1, mlp::Purpose::loss);
      mlp::train(trained, {mlp::Layer{mlp::Matrix::Zero(8, 12), mlp::RowVector::Zero(12)}}, random_of_loss,
                 {samples, mlp::forward(teacher, samples.inputs)}, loss, {60, 20, 3e-3}, random_batches,
                 [](const mlp::Network&) {});
      CHECK(trained[2].weights == output.weights);  // the loss does not depend on it
      return values.back();
    };
    const double both = trained_to(hint);
    CHECK(both < 0.3 * values.front());
    const double only_own = trained_to([&](const mlp::Step& step) {
      const double value = hint(step);
      step.gradient.features.setZero();
      return value;
    });
    CHECK(both < 0.7 * only_own);
  }

  TEST_CASE("a network comes back from its file bit by bit") {
    const Folder folder;
    mlp::Random random(1, mlp::Purpose::teacher);
    const mlp::Network network = mlp::make_network({4, 3, 7, 10}, random);
    mlp::save_network(network, folder / "net");
    const mlp::Network loaded = mlp::load_network(folder / "net", 4, 10);
    REQUIRE(loaded.size() == network.size());
    for (std::size_t i = 0; i < network.size(); ++i) {
      CHECK(loaded[i].weights == network[i].weights);
      CHECK(loaded[i].bias == network[i].bias);
    }
    CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 1);  // nothing temporary left
  }

  TEST_CASE("a damaged file is refused, wherever the damage is") {
    const Folder folder;
    mlp::Random random(1, mlp::Purpose::teacher);
    mlp::save_network(mlp::make_network({4, 1, 2, 10}, random), folder / "net");
    const std::string bytes = slurp(folder / "net");
    const std::string path = folder / "bad";
    for (std::size_t size = 0; size < bytes.size(); size += size < 64 ? 1 : 13) {
      spill(path, bytes.substr(0, size));
      CHECK(load_error(path) != "");
    }
    for (std::size_t i = 0; i < bytes.size(); i += i < 64 ? 1 : 13) {
      for (const int bit : {0, 7}) {
        std::string flipped = bytes;
        flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
        spill(path, flipped);
        CHECK(load_error(path) != "");
      }
    }
    spill(path, bytes + "x");
    CHECK(load_error(path) != "");

    const auto error_with = [&](std::size_t offset, const std::string& replacement) {
      spill(path, std::string(bytes).replace(offset, replacement.size(), replacement));
      return load_error(path);
    };
    CHECK(error_with(0, "something") == path + " is not a network saved by distill_mlp");
    CHECK(error_with(12, "\x01") == path + " has format version 1, this program reads version 2");
    CHECK(error_with(16, "\xff\xff\xff\xff").find("claims a layer") != std::string::npos);  // pixels of a patch
    CHECK(error_with(20, std::string("\xff\xff\xff\0", 4)).find("is truncated") != std::string::npos);  // channels
    CHECK(error_with(100, "\x55").find("checksum") != std::string::npos);                               // a weight
    mlp::save_network(mlp::make_network({5, 1, 2, 10}, random), path);
    CHECK(load_error(path) ==
          path + " leads from patches of 5 pixels to 10 classes, expected from patches of 4 pixels to 10 classes");
    CHECK(load_error(folder / "nowhere") == "cannot read " + (folder / "nowhere") + ": No such file or directory");
    CHECK(load_error(folder.path.string()) == "cannot read " + folder.path.string() + ": Is a directory");
  }
}

TEST_SUITE("program") {
  TEST_CASE("a run writes its report and is the same with any number of threads") {
    const Folder folder;
    const std::string options = "--seeds 2 --epochs 3 --teacher-epochs 2 --out '";
    const Run first = run(folder, options + (folder / "a/b") + "' --threads 1");
    CHECK(first.code == 0);
    CHECK(first.err == "");
    CHECK(first.out.find("KD: teacher and labels") != std::string::npos);
    CHECK(first.out.find('\x1b') == std::string::npos);

    const std::string text = slurp(folder / "a/b/report.json");
    const auto report = nlohmann::json::parse(text);
    for (const char* experiment : {"few_labels", "missing_digit"}) {
      CHECK(report.at(experiment).at("seeds") == 2);
      CHECK(report.at(experiment).at("hyper_parameters").at("temperature") == 8);
      for (const char* variant : {"labels", "label-smoothing", "kd", "kl", "kd-features", "kd-attention"}) {
        const auto& accuracy = report.at(experiment).at("variants").at(variant).at("accuracy");
        const double a = accuracy.at("values").at(0), b = accuracy.at("values").at(1);
        CHECK(accuracy.at("mean").get<double>() == doctest::Approx((a + b) / 2));
        CHECK(accuracy.at("std").get<double>() == doctest::Approx(std::abs(a - b) / std::sqrt(2.0)));
      }
      CHECK(report.at(experiment).at("variants").size() == 6);
      CHECK(fs::exists(folder / (std::string("a/b/") + experiment + ".csv")));
    }
    CHECK(report.at("few_labels").at("teacher").at("accuracy").at("mean").get<double>() > 0.8);
    CHECK(report.at("missing_digit").at("variants").at("kd").contains("accuracy_on_missing_corrected"));

    CHECK(run(folder, options + (folder / "c") + "' --threads 2").code == 0);
    CHECK(slurp(folder / "c/report.json") == text);
    CHECK(slurp(folder / "c/few_labels.csv") == slurp(folder / "a/b/few_labels.csv"));
  }

  TEST_CASE("every loss teaches, and --help lists it") {
    const Folder folder;
    const Run result = run(folder, "--experiment few_labels --loss all --labels 1000 --seeds 1 --epochs 4 --out '" +
                                       (folder / "out") + "'");
    CHECK(result.code == 0);
    const auto report = nlohmann::json::parse(slurp(folder / "out/report.json"));
    const std::string help = run(folder, "--help").out;
    std::set<std::string> keys;
    for (const mlp::Variant& variant : mlp::all_variants({})) {
      CAPTURE(variant.key);
      CHECK(keys.insert(variant.key).second);
      const auto& accuracy = report.at("few_labels").at("variants").at(variant.key).at("accuracy");
      // far above chance; one class that the student draws says less than ten probabilities
      CHECK(accuracy.at("mean").get<double>() > (variant.key == "sampled" ? 0.2 : 0.8));
      CHECK(help.find(variant.key) != std::string::npos);
      CHECK(variant.name.size() <= 24);  // the table's column
    }
    CHECK(keys.size() == report.at("few_labels").at("variants").size());
  }

  TEST_CASE("a saved teacher teaches the same as in the run that trained it") {
    const Folder folder;
    const std::string file = " '" + (folder / "teacher") + "'";
    CHECK(run(folder, quick + "--loss kd --out '" + (folder / "a") + "' --save" + file).code == 0);
    CHECK(run(folder, "--seeds 1 --epochs 1 --loss kd --out '" + (folder / "b") + "' --load" + file).code == 0);
    const auto a = nlohmann::json::parse(slurp(folder / "a/report.json"));
    const auto b = nlohmann::json::parse(slurp(folder / "b/report.json"));
    CHECK(a.at("few_labels").at("variants") == b.at("few_labels").at("variants"));
    CHECK(a.at("missing_digit").at("teacher") == b.at("missing_digit").at("teacher"));
    CHECK(a.at("few_labels").at("variants").size() == 1);
    if (std::system("command -v gnuplot >/dev/null") == 0) CHECK(fs::file_size(folder / "a/missing_digit.svg") > 1000);
    CHECK(a.at("few_labels").at("variants").at("kd").at("accuracy").at("std").is_null());
    CHECK(b.at("few_labels").at("hyper_parameters").at("teacher") == "loaded");
  }

  TEST_CASE("a folder of images is learned from, and what it cannot show is left out with a word") {
    const Folder folder;
    const auto write = [&](const std::string& part) {
      std::string images{0, 0, 8, 3, 0, 0, 0, 30, 0, 0, 0, 5, 0, 0, 0, 4}, labels{0, 0, 8, 1, 0, 0, 0, 30};
      for (int i = 0; i < 30; ++i) {
        labels += static_cast<char>(i % 3);
        images += std::string(20, static_cast<char>(i % 3 * 100));
      }
      spill(folder / (part + "-images-idx3-ubyte"), images);
      spill(folder / (part + "-labels-idx1-ubyte"), labels);
    };
    write("train");
    write("t10k");
    const std::string options = quick + "--data '" + folder.path.string() + "' --labels 20 --out '" + (folder / "out");
    const Run result = run(folder, options + "'");
    CHECK(result.code == 0);
    CHECK(result.out.rfind("Only few_labels is run: missing_digit needs images of class 3", 0) == 0);
    CHECK(result.out.find("all classes") != std::string::npos);
    CHECK(result.out.find("all digits") == std::string::npos);
    const auto report = nlohmann::json::parse(slurp(folder / "out/report.json"));
    CHECK(report.size() == 1);
    CHECK(report.at("few_labels").at("hyper_parameters").at("train_images") == 30);
    const Run impossible = run(folder, options + "' --experiment missing_digit");
    CHECK(impossible.code == 2);
    CHECK(impossible.err.find("--experiment: missing_digit needs images of class 3") != std::string::npos);
    CHECK(run(folder, options + "' --labels 31").code == 2);
  }

  TEST_CASE("a user's mistake gets one line and exit code 2") {
    const Folder folder;
    spill(folder / "corrupt", "distill mlp\nnot a network");
    spill(folder / "file", "");
    const std::vector<std::pair<std::string, std::string>> mistakes{
        {"--load '" + (folder / "corrupt") + "'", "corrupt has format version"},
        {"--load '" + (folder / "nowhere") + "'", "cannot read"},
        {"--out '" + (folder / "file") + "/sub'", "cannot create folder"},
        {"--save '" + (folder / "no/folder/here") + "'", "cannot write"},
        {"--labels 9", "--labels: must be a number from 10 to 1e+06, not 9"},
        {"--labels 1001", "--labels: must be a number from 10 to 1000, the training images, not 1001"},
        {"--channels 0", "--channels"},
        {"--train-images 100", "--train-images has no meaning without --data"},
        {"--data '" + (folder / "nowhere") + "'", "nowhere is not a folder"},
        {"--data '" + folder.path.string() + "'", " holds no train-labels-idx1-ubyte"},
        {"--labels 20.5", "--labels"},
        {"--seeds 0", "--seeds"},
        {"--seeds 99999999999999999999", "--seeds"},
        {"--temperature 0", "--temperature"},
        {"--temperature nan", "--temperature"},
        {"--temperature inf", "--temperature"},
        {"--alpha 1.01", "--alpha"},
        {"--alpha ''", "--alpha"},
        {"--hidden many", "--hidden"},
        {"--threads 0", "--threads"},
        {"--loss hinge", "hinge"},
        {"--experiment kd", "kd"},
        {"--unheard-of", "unheard-of"},
        {"stray", "stray"},
        {"--load x --save y", "--save has no meaning with --load"},
    };
    for (const auto& [arguments, message] : mistakes) {
      CAPTURE(arguments);
      // The options of a short run come last, and a mistake must be found before any of it.
      const bool names_seeds = arguments.find("--seeds") != std::string::npos;
      const std::string out = arguments.find("--out") == std::string::npos ? " --out '" + (folder / "out") + "'" : "";
      const Run result = run(folder, arguments + out + (names_seeds ? "" : " --seeds 1") + " --epochs 1");
      CHECK(result.code == 2);
      CHECK(result.out == "");
      CHECK(is_one_line(result.err));
      CHECK_MESSAGE(result.err.find(message) != std::string::npos, result.err);
    }
  }

  TEST_CASE("--help names every option") {
    const Folder folder;
    const Run result = run(folder, "--help");
    CHECK(result.code == 0);
    CHECK(result.err == "");
    for (const char* option : {"--experiment", "--loss", "--data", "--train-images", "--temperature", "--alpha",
                               "--hint-weight", "--attention-weight", "--labels", "--channels", "--hidden", "--epochs",
                               "--teacher-epochs", "--seeds", "--threads", "--out", "--save", "--load"}) {
      CHECK_MESSAGE(result.out.find(option) != std::string::npos, option);
    }
  }

  TEST_CASE("without gnuplot one line says so, and the run succeeds") {
    const Folder folder;
    const std::string options = quick + "--experiment few_labels --loss kd --out '" + (folder / "out") + "'";
    const int status = std::system(("PATH=/nowhere '" + program + "' " + options + " >'" + (folder / "stdout") +
                                    "' 2>'" + (folder / "stderr") + "'")
                                       .c_str());
    CHECK(status == 0);
    CHECK(slurp(folder / "stdout").find("apt-get install gnuplot-nox") != std::string::npos);
    CHECK(slurp(folder / "stderr") == "");
    CHECK(!fs::exists(folder / "out/few_labels.svg"));
  }
}

int main(int argc, char** argv) {
  if (argc > 1) program = fs::absolute(argv[argc - 1]).string();
  return doctest::Context(argc, argv).run();
}
