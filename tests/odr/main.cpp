// A program with a unit for any x86-64 processor and one for AVX2. `baseline` runs the first, `both` runs both.
#include <cstdio>
#include <cstring>

bool baseline();
bool avx2();

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "baseline") == 0) return baseline() ? 0 : 1;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    std::puts("this processor lacks AVX2 or FMA");
    return 77;
  }
  return baseline() && avx2() ? 0 : 1;
}
