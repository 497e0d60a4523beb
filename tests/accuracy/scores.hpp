// The rows that accuracy is measured on, and the worst of what is seen.
#pragma once

#include <cstddef>
#include <random>
#include <vector>

namespace accuracy {

constexpr double eps = 0x1p-23;

inline void raise(double& worst, double error) {
  if (!(error <= worst)) worst = error;  // NaN stays
}

/// constant: all scores equal, as those of a head that begins with zeros, and every other time the teacher's, too;
/// roundings of equal terms do not average out.
enum class Student { random, near, equal, wide, constant };
inline constexpr Student students[] = {Student::random, Student::near, Student::equal, Student::wide,
                                       Student::constant};

struct Scores {
  std::vector<float> student, teacher;
};

/// The same rows in each run of a test.
class ScoreSource {
 public:
  Scores next(Student kind, bool teacher_is_alike, double temperature, std::size_t cols) {
    Scores scores{std::vector<float>(cols), std::vector<float>(cols)};
    const bool is_constant = kind == Student::constant;
    const float of_all = is_constant ? 4 * normal_(engine_) : 0;
    for (std::size_t i = 0; i < cols; ++i) {
      float& student = scores.student[i];
      float& teacher = scores.teacher[i];
      teacher = is_constant && teacher_is_alike ? of_all - 1 : 4 * normal_(engine_);
      student = kind == Student::random ? 4 * normal_(engine_)
                : kind == Student::wide ? 40 * normal_(engine_)
                : is_constant           ? of_all
                : kind == Student::near ? teacher + static_cast<float>(0.0015 * temperature) * normal_(engine_)
                                        : teacher;
    }
    return scores;
  }

 private:
  std::mt19937 engine_{7};
  std::normal_distribution<float> normal_;
};

}  // namespace accuracy
