// error: this gradient is a temporary matrix, gone with the call. Pass a matrix that has a name, or a view of one
#include <Eigen/Core>
#include <distill/logits/kl_divergence.hpp>

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

double loss(const Matrix& student, const Matrix& teacher, Matrix& gradients) {
#if defined(WRONG)
  return distill::KlDivergence{}(student, teacher, gradients.topRows(10).eval());
#else
  return distill::KlDivergence{}(student, teacher, gradients.topRows(10));
#endif
}
