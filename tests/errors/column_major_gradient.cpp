// error: this matrix is column-major. If each COLUMN is a sample, write samples_in_columns(m)
#include <Eigen/Core>
#include <distill/logits/kl_divergence.hpp>

double loss(distill::MatrixView<float> student, distill::MatrixView<float> teacher) {
#if defined(WRONG)
  Eigen::MatrixXf gradient(10, 3);
#else
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> gradient(10, 3);
#endif
  return distill::KlDivergence{}(student, teacher, gradient);
}
