#include <distill/features/feature_matching.hpp>

#include "count.hpp"

void instructions::feature_matching() {
  count_rows("feature_matching 4x4096", distill::FeatureMatching{}, 4, 4096);
}
