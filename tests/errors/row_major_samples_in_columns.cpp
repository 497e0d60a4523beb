// error: samples_in_columns() takes a column-major matrix; pass a row-major one as it is
#include <Eigen/Core>
#include <distill/logits/kl_divergence.hpp>

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

double loss(const RowMajor& student, const RowMajor& teacher) {
#if defined(WRONG)
  return distill::KlDivergence{}(distill::samples_in_columns(student), distill::samples_in_columns(teacher));
#else
  return distill::KlDivergence{}(student, teacher);
#endif
}
