#include <distill/logits/kl_divergence.hpp>

#include "count.hpp"

void instructions::kl_divergence() {
  const distill::KlDivergence kl{.temperature = 2};
  count_rows("kl 4x1024", kl, 4, 1024);
  count_rows("kl 64x10", kl, 64, 10);
  count_rows("kl 64x32", kl, 64, 32);
  count_rows("kl 1x32000", kl, 1, 32000);
  count_rows<distill::bfloat16>("kl_bfloat16 4x1024", kl, 4, 1024);
  const distill::KlDivergence high{.temperature = 2, .precision = distill::Precision::high};
  count_rows("kl_high 4x1024", high, 4, 1024);
  count_rows("kl_high 64x10", high, 64, 10);
  count_rows("kl_high 64x32", high, 64, 32);
  count_rows("kl_high 1x32000", high, 1, 32000);
}
