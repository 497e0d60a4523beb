#pragma once

#include <filesystem>
#include <string>

#include "experiments.hpp"

namespace mlp {

// Every metric after every epoch, mean and standard deviation over the seeds.
std::string curves_csv(const Results& results);

// Draws the curves as SVG; false if gnuplot does not manage to.
bool draw_curves(const Results& results, const std::filesystem::path& path);

}  // namespace mlp
