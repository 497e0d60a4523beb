// error: this matrix is column-major. If each COLUMN is a sample, write samples_in_columns(m)
#include <Eigen/Core>
#include <distill/logits/kl_divergence.hpp>

double loss(const Eigen::MatrixXf& student, const Eigen::MatrixXf& teacher) {
#if defined(WRONG)
  return distill::KlDivergence{}(student, teacher);
#else
  return distill::KlDivergence{}(distill::samples_in_columns(student), distill::samples_in_columns(teacher));
#endif
}
