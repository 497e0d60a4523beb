// Bar charts by gnuplot.
#include <algorithm>
#include <array>
#include <cctype>
#include <gnuplot.hpp>
#include <iomanip>
#include <limits>
#include <map>
#include <sstream>

#include "report.hpp"

namespace report {
namespace {

// Colours that most colour-blind people can tell apart (Okabe and Ito 2008). Libraries keep theirs in all plots, others
// rotate.
std::string colour_of(const std::string& contender, std::size_t index) {
  static const std::map<std::string, std::string> own{{"distill", "#0072B2"},
                                                      {"Eigen by rows", "#009E73"},
                                                      {"LibTorch", "#D55E00"},
                                                      {"LibTorch, 2 threads", "#E69F00"},
                                                      {"oneDNN", "#CC79A7"},
                                                      {"distill, high precision", "#56B4E9"},
                                                      {"distill, 2 threads", "#56B4E9"},
                                                      {"distill, x86-64", "#999999"}};
  const auto found = own.find(contender);
  if (found != own.end()) return found->second;
  constexpr std::array others{"#F0E442", "#B0B0B0"};
  return others[index % others.size()];
}

/// "Hidden layers" is drawn in hidden_layers.svg.
std::string file_name(const std::string& group) {
  std::string name = group;
  for (char& c : name) c = c == ' ' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name + ".svg";
}

using Group = std::vector<const Outcome*>;

/// All contenders of a group, in the order in which they first appear.
std::vector<std::string> contenders_of(const Group& group) {
  std::vector<std::string> names;
  for (const Outcome* outcome : group) {
    for (const Contender& contender : outcome->contest.contenders) {
      const std::string& name = contender.name;
      const bool is_limit = name == memory || name == exponentials;
      if (!is_limit && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

/// Two digits, or all digits before the decimal point.
std::string short_number(double x) {
  std::ostringstream text;
  text << std::setprecision(2);
  if (x >= 100) text << std::fixed << std::setprecision(0);
  text << x;
  return text.str();
}

constexpr const char* ytics =
    "0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000";

/// A cluster of bars per contest, a colour per contender, and the limit as a line across the cluster.
std::string script(const std::string& title, const Group& group) {
  const std::vector<std::string> names = contenders_of(group);
  std::vector<std::ostringstream> bars(names.size());
  std::ostringstream limits, numbers, tics;
  const bool many = group.size() > 6;
  double x = 0, lowest = std::numeric_limits<double>::infinity(), highest = 0;
  for (const Outcome* outcome : group) {
    const double scale = 1e9 / static_cast<double>(outcome->contest.elements);
    const double begin = x;
    for (std::size_t k = 0; k < names.size(); ++k) {
      const Times* const times = outcome->find(names[k]);
      if (times == nullptr) continue;
      const double y = scale * times->median;
      bars[k] << x << ' ' << y << '\n';
      numbers << x << ' ' << y << ' ' << short_number(y) << '\n';
      lowest = std::min(lowest, y);
      highest = std::max(highest, y);
      ++x;
    }
    const double middle = (begin + x - 1) / 2;
    if (outcome->limit.samples > 0) {
      const double y = scale * outcome->limit.median;
      limits << middle << ' ' << y << ' ' << (x - begin) / 2 << '\n';
      lowest = std::min(lowest, y);
    }
    tics << (begin > 0 ? ", " : "") << '"' << outcome->contest.what << "\\n"
         << outcome->contest.shape << "\" " << middle;
    ++x;
  }
  std::ostringstream data, plot;
  for (std::size_t k = 0; k < names.size(); ++k) {
    data << "$bars" << k << " << END\n" << bars[k].str() << "END\n";
    plot << "$bars" << k << " with boxes lc rgb '" << colour_of(names[k], k) << "' title '" << names[k] << "', ";
  }
  data << "$limits << END\n" << limits.str() << "END\n$numbers << END\n" << numbers.str() << "END\n";
  if (!limits.str().empty()) plot << "$limits with xerrorbars pt -1 lw 2.5 lc rgb '#000000' title 'limit', ";
  plot << "$numbers using 1:2:3 with labels offset 0,0.6 font ',11' notitle\n";
  std::ostringstream text;
  text << data.str() << "set terminal svg size "
       << 320 + std::max(34 * x, many ? 0 : 170.0 * static_cast<double>(group.size()))
       << ",520 noenhanced font 'Helvetica,Arial,sans-serif,14' background '#ffffff'\n"
       << "set title '" << title << ", median time' font ',18'\n"
       << "set ylabel 'ns an element (log scale)'\n"
       << "set logscale y\n"
       << "set xrange [-1:" << x - 1 << "]\n"
       << "set yrange [" << lowest / 2 << ':' << 2 * highest << "]\n"
       << "set xtics (" << tics.str() << ") scale 0" << (many ? " rotate by 35 right" : "") << '\n'
       << "set bmargin " << (many ? 7 : 4) << '\n'
       << "set border 3 lc rgb '#606060'\n"
       << "set ytics nomirror out (" << ytics << ")\n"
       << "set grid y lt 1 lc rgb '#e0e0e0'\n"
       << "set key outside right center vertical Left reverse spacing 1.3 samplen 1.5\n"
       << "set bars 0\n"
       << "set boxwidth 0.86\n"
       << "set style fill solid noborder\n"
       << "plot " << plot.str();
  return text.str();
}

}  // namespace

std::vector<std::string> draw(const std::vector<Outcome>& outcomes, const std::filesystem::path& folder) {
  std::vector<std::string> titles;
  std::map<std::string, Group> groups;
  for (const Outcome& outcome : outcomes) {
    if (outcome.contest.elements == 0) continue;
    Group& group = groups[outcome.contest.group];
    if (group.empty()) titles.push_back(outcome.contest.group);
    group.push_back(&outcome);
  }
  std::vector<std::string> files;
  for (const std::string& title : titles) {
    const std::string file = file_name(title);
    if (gnuplot::run(script(title, groups[title]), folder / file)) files.push_back(file);
  }
  return files;
}

}  // namespace report
