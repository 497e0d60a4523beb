// error: Armadillo's matrices are column-major. If each COLUMN is a sample, write samples_in_columns(m)
#include <armadillo>
#include <distill/logits/kl_divergence.hpp>

double loss(const arma::fmat& student, const arma::fmat& teacher) {
#if defined(WRONG)
  return distill::KlDivergence{}(student, teacher);
#else
  return distill::KlDivergence{}(distill::samples_in_columns(student), distill::samples_in_columns(teacher));
#endif
}
