// error: samples_in_columns() takes Eigen's column-major matrix, map or block, or Armadillo's matrix or subview
#include <distill/logits/kl_divergence.hpp>
#include <vector>

double loss(const std::vector<float>& student, const std::vector<float>& teacher, std::size_t samples) {
#if defined(WRONG)
  (void)samples;
  return distill::KlDivergence{}(distill::samples_in_columns(student), distill::samples_in_columns(teacher));
#else
  const std::size_t classes = student.size() / samples;
  return distill::KlDivergence{}(distill::MatrixView{student.data(), samples, classes},
                                 distill::MatrixView{teacher.data(), samples, classes});
#endif
}
