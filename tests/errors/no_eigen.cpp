// error: this header needs Eigen, which is not on the include path. Install it (Debian: libeigen3-dev) and link
// wrong: -std=c++17 -DDISTILL_NO_SIMD "--sysroot=@BARE@" "-I@INCLUDE@"
#include <distill/relations/similarity_preserving.hpp>
