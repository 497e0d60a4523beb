// error: a mask holds integers or floating-point numbers, each 0 or 1
#include <distill/attention/attention_matrix.hpp>

#if defined(WRONG)
using Element = distill::half;
#else
using Element = unsigned char;
#endif

double loss(distill::FeatureMapView<float> student, distill::FeatureMapView<float> teacher,
            const distill::TokenMask<Element>& mask) {
  return distill::AttentionMatrix{}(student, teacher, mask);
}
