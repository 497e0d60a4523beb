// error: this xsimd is too old. Put 8.1 or later first on the include path
// wrong: -std=c++17 "-I@CMAKE_CURRENT_LIST_DIR@/old_xsimd" "-I@INCLUDE@"
#include <distill/logits/kl_divergence.hpp>
