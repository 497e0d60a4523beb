#include "curves.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <map>
#include <sstream>
#include <vector>

#include "gnuplot.hpp"
#include "statistics.hpp"

namespace mlp {

std::string curves_csv(const Results& results) {
  const std::vector<Metric>& metrics = results.experiment.metrics;
  std::ostringstream csv;
  csv << "variant,epoch";
  for (const Metric& metric : metrics) csv << ',' << metric.key << "_mean," << metric.key << "_std";
  csv << '\n';
  for (const Students& students : results.students) {
    for (std::size_t epoch = 0; epoch < epochs_of(students); ++epoch) {
      csv << students.variant.key << ',' << epoch + 1;
      for (std::size_t i = 0; i < metrics.size(); ++i) {
        const Summary summary = student_summary(students, epoch, i);
        csv << ',' << summary.mean << ',';
        if (!std::isnan(summary.std)) csv << summary.std;
      }
      csv << '\n';
    }
  }
  return csv.str();
}

namespace {

// Colours that most colour-blind people can tell apart (Okabe and Ito 2008). Curves that nearly coincide are drawn thin
// on thick.
const std::map<std::string, std::string> styles{
    {"labels", "lc rgb '#D55E00' lw 4"},        {"label-smoothing", "lc rgb '#E69F00' lw 1.5"},
    {"kd", "lc rgb '#0072B2' lw 4.5"},          {"kl", "lc rgb '#56D0B0' lw 1.5"},
    {"kd-features", "lc rgb '#CC79A7' lw 1.5"}, {"kd-attention", "lc rgb '#000000' lw 1"}};

// The others, which are rarely in the same figure, rotate (colours: Tol 2021).
std::string style_of(const Results& results, std::size_t variant) {
  const auto own = styles.find(results.students[variant].variant.key);
  if (own != styles.end()) return own->second;
  constexpr std::array colours{"332288", "88CCEE", "44AA99", "117733", "999933",
                               "DDCC77", "CC6677", "882255", "AA4499"};
  constexpr std::array widths{"2", "1", "4"};
  return std::string("lc rgb '#") + colours[variant % colours.size()] + "' lw " +
         widths[variant / colours.size() % widths.size()];
}

// A named block of lines "epoch mean mean-std mean+std", in percent.
std::string data_block(const std::string& name, const Students& students, std::size_t metric) {
  std::ostringstream block;
  block << name << " << END\n";
  for (std::size_t epoch = 0; epoch < epochs_of(students); ++epoch) {
    const Summary summary = student_summary(students, epoch, metric);
    const double std = std::isnan(summary.std) ? 0 : summary.std;
    block << epoch + 1 << ' ' << 100 * summary.mean << ' ' << 100 * std::max(0.0, summary.mean - std) << ' '
          << 100 * std::min(1.0, summary.mean + std) << '\n';
  }
  block << "END\n";
  return block.str();
}

std::string gnuplot_script(const Results& results) {
  const std::vector<Metric>& metrics = results.experiment.metrics;
  std::ostringstream data, bands, lines;
  std::string axis;
  double lowest = 1;
  std::size_t curves = 1;  // the teacher's
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    if (metrics[i].curve == Curve::none) continue;
    const bool dashed = metrics[i].curve == Curve::dashed;
    if (!dashed) {
      axis = metrics[i].heading;
      const double teacher = teacher_summary(results, i).mean;
      lowest = std::min(lowest, teacher);
      lines << 100 * teacher << " with lines lw 1.5 dt '.' lc rgb '#404040' title 'the teacher'";
    }
    for (std::size_t variant = 0; variant < results.students.size(); ++variant) {
      const Students& students = results.students[variant];
      const std::string name = "$" + metrics[i].key + std::to_string(variant);
      const std::string style = style_of(results, variant);
      ++curves;
      data << data_block(name, students, i);
      lowest = std::min(lowest, final_summary(students, i).mean);
      if (!dashed) bands << name << " using 1:3:4 with filledcurves " << style << " notitle, ";
      lines << ", " << name << " using 1:2 with lines " << style << (dashed ? " dt '-'" : "") << " title '"
            << students.variant.name << (dashed ? ", corrected" : "") << "'";
    }
  }
  const double bottom = std::max(0.0, 10 * std::floor(10 * lowest - 1.5));  // the end of each curve is well above it
  const std::size_t height =
      std::max<std::size_t>(500, 160 + 32 * curves);  // a line of the key for each: gnuplot drops what has no room
  std::ostringstream script;
  script << data.str() << "set terminal svg size 980," << height
         << " font 'Helvetica,Arial,sans-serif,15' background '#ffffff'\n"
         << "set title '" << results.experiment.title << "' font ',19'\n"
         << "set xlabel 'epoch'\n"
         << "set ylabel 'test accuracy on " << axis << ", %'\n"
         << "set xrange [1:" << std::max<std::size_t>(2, epochs_of(results.students.front())) << "] noextend\n"
         << "set yrange [" << bottom << ":100]\n"
         << "set border 3 lc rgb '#606060'\n"
         << "set tics nomirror out\n"
         << "set grid y lt 1 lc rgb '#e0e0e0'\n"
         << "set rmargin at screen 0.68\n"
         << "set key at screen 0.69,0.5 left center reverse Left spacing 1.4 samplen 2\n"
         << "set style fill transparent solid 0.13 noborder\n"
         << "plot " << bands.str() << lines.str() << '\n';
  return script.str();
}

}  // namespace

bool draw_curves(const Results& results, const std::filesystem::path& path) {
  return gnuplot::run(gnuplot_script(results), path);
}

}  // namespace mlp
