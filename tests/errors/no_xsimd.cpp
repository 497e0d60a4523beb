// error: xsimd is not on the include path. Install it (Debian: libxsimd-dev), add -I for its include folder, or
// wrong: -std=c++17 "--sysroot=@BARE@" "-I@INCLUDE@"
#include <distill/logits/kl_divergence.hpp>
