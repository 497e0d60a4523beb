// error: this loss does not take these arguments. After the student, pass what its header names, in that order: the teacher, then labels, margins or learned(log_scale) for those that take them
#include <distill/adapters/torch.hpp>
#include <distill/logits/kl_divergence.hpp>

at::Tensor loss(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& labels) {
#if defined(WRONG)
  return distill::libtorch::apply(distill::KlDivergence{}, student, teacher, labels);
#else
  (void)labels;
  return distill::libtorch::apply(distill::KlDivergence{}, student, teacher);
#endif
}
