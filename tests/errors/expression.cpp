// error: evaluate an expression such as a + b into a matrix first
#include <Eigen/Core>
#include <distill/logits/kl_divergence.hpp>

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

double loss(const Matrix& student, const Matrix& bias, const Matrix& teacher) {
#if defined(WRONG)
  return distill::KlDivergence{}(student + bias, teacher);
#else
  return distill::KlDivergence{}((student + bias).eval(), teacher);
#endif
}
