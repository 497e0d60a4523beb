#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "statistics.hpp"

namespace mlp {
namespace {

std::string in_percent(double fraction, int width) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << std::setw(width) << 100 * fraction;
  return text.str();
}

}  // namespace

void print_table(std::ostream& out, const Results& results) {
  constexpr int name_width = 24;
  constexpr int column_width = 18;
  const Experiment& experiment = results.experiment;

  out << experiment.title << ": test accuracy in %";
  if (results.teachers.size() > 1) out << ", mean ± standard deviation over " << results.teachers.size() << " seeds";
  out << '\n' << experiment.summary << "\n\n  " << std::setw(name_width) << "";
  for (const Metric& metric : experiment.metrics) out << std::setw(column_width) << metric.heading;
  out << '\n';

  const auto print_row = [&](const std::string& name, const auto& summary_of) {
    out << "  " << std::left << std::setw(name_width) << name << std::right;
    for (std::size_t i = 0; i < experiment.metrics.size(); ++i) {
      const Summary summary = summary_of(i);
      const bool has_std = !std::isnan(summary.std);
      out << in_percent(summary.mean, has_std ? column_width - 7 : column_width);
      if (has_std) out << " ± " << in_percent(summary.std, 4);
    }
    out << '\n';
  };
  print_row("the teacher", [&](std::size_t metric) { return teacher_summary(results, metric); });
  for (const Students& students : results.students) {
    print_row(students.variant.name, [&](std::size_t metric) { return final_summary(students, metric); });
  }
  out << '\n';
}

namespace {

using Json = nlohmann::ordered_json;

Json to_json(const Summary& summary) {
  return {{"mean", summary.mean}, {"std", summary.std}, {"values", summary.values}};  // NaN becomes null
}

}  // namespace

std::string to_json(const Outcome& outcome, const Settings& settings, bool teacher_is_loaded) {
  Json hyper_parameters{
      {"data", settings.data.empty() ? "embedded digits" : settings.data},
      {"train_images", settings.train_images},
      {"temperature", settings.temperature},
      {"alpha", settings.alpha},
      {"hint_weight", settings.hint_weight},
      {"attention_weight", settings.attention_weight},
      {"label_smoothing", label_smoothing},
      {"labels", settings.labels},
      {"missing_class", missing_class},
      {"channels", settings.channels},
      {"hidden", settings.hidden},
      {"epochs", settings.epochs},
      {"batch_size", batch_size},
      {"learning_rate", learning_rate},
      {"teacher", teacher_is_loaded ? "loaded" : "trained"},
      {"teacher_channels", outcome.first_teacher[0].weights.cols()},
      {"teacher_hidden", outcome.first_teacher[1].weights.cols()},
  };
  if (!teacher_is_loaded) hyper_parameters["teacher_epochs"] = settings.teacher_epochs;

  Json report;
  for (const Results& results : outcome.results) {
    Json& json = report[results.experiment.key];
    json["seeds"] = settings.seeds;
    json["hyper_parameters"] = hyper_parameters;
    for (std::size_t i = 0; i < results.experiment.metrics.size(); ++i) {
      const std::string& metric = results.experiment.metrics[i].key;
      json["teacher"][metric] = to_json(teacher_summary(results, i));
      for (const Students& students : results.students) {
        json["variants"][students.variant.key][metric] = to_json(final_summary(students, i));
      }
    }
  }
  return report.dump(2) + '\n';
}

}  // namespace mlp
