// The whole text of what is thrown, which docs/errors.md shows.
#include <doctest/doctest.h>

#include <distill/features/feature_matching.hpp>
#include <distill/logits/kl_divergence.hpp>
#include <distill/logits/knowledge_distillation.hpp>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

template <class Call>
void check_message(const std::string& message, const Call& call) {
  CHECK_THROWS_WITH_AS(call(), message.c_str(), std::invalid_argument);
  std::ifstream file(DISTILL_ERRORS_PAGE);
  const std::string page(std::istreambuf_iterator<char>(file), {});
  CHECK_MESSAGE(page.find('\n' + message + '\n') != std::string::npos, "docs/errors.md does not show: " << message);
}

distill::MatrixView<float> matrix(int rows, int cols) {
  static std::vector<std::vector<float>> memory;
  memory.emplace_back(static_cast<std::size_t>(rows * cols), 1.0f);
  return {memory.back().data(), rows, cols};
}

}  // namespace

TEST_CASE("a mistake's message names loss, argument, what it is and what was expected") {
  const auto student = matrix(10, 10), grad = matrix(10, 10);
  const distill::KlDivergence kl;
  check_message("KlDivergence: teacher has 11 columns, student has 10", [&] { kl(student, matrix(10, 11), grad); });
  check_message("KlDivergence: grad has 9 rows, student has 10", [&] { kl(student, student, matrix(9, 10)); });

  check_message("FeatureMatching: teacher has 511 columns, student has 512",
                [&] { distill::FeatureMatching{}(matrix(2, 512), matrix(2, 511)); });

  const std::vector<int> labels{0, 9, 10, 0, 0, 0, 0, 0, 0, 0};
  check_message("KnowledgeDistillation: labels[2] is 10, expected 0 to 9 or ignore_label (-100)",
                [&] { distill::KnowledgeDistillation{}(student, student, labels, grad); });
  const std::vector<int> short_labels(9);
  check_message("KnowledgeDistillation: labels has 9 entries, student has 10 rows",
                [&] { distill::KnowledgeDistillation{}(student, student, short_labels, grad); });
  const std::vector<int> all_labels(10);
  const std::vector<float> one_weight(1);
  check_message("KnowledgeDistillation: weights has 1 entries, student has 10 rows",
                [&] { distill::KnowledgeDistillation{}(student, student, all_labels, grad, {.weights = one_weight}); });
  check_message("KnowledgeDistillation: total_weight is 3, expected 0 or at least this call's own sum of weights, 10",
                [&] { distill::KnowledgeDistillation{}(student, student, all_labels, grad, {.total_weight = 3}); });
}
