// A trainer in small: one loss and its gradient, on raw pointers, against numbers that were computed elsewhere.
#include <cmath>
#include <cstdio>
#include <distill/distill.hpp>

int main() {
  const float student[] = {1.0f, -0.5f, 0.25f};
  const float teacher[] = {2.0f, 0.0f, -1.0f};
  float grad[3];

  distill::KlDivergence kl;
  kl.temperature = 2;
  const double value = kl(distill::MatrixView{student, 1, 3}, distill::MatrixView{teacher, 1, 3},  //
                          distill::MatrixView{grad, 1, 3});

  const double expected[] = {-0.33098995449, -0.02500165605, 0.35599161055};
  bool right = std::abs(value - 0.35999672869) < 1e-6;
  for (int j = 0; j < 3; ++j) right = right && std::abs(grad[j] - expected[j]) < 1e-6;
  std::printf("value %.9f, gradient %.9f %.9f %.9f: %s\n", value, double(grad[0]), double(grad[1]), double(grad[2]),
              right ? "right" : "WRONG");
  return right ? 0 : 1;
}
