// error: distill/distill.hpp
// wrong: "--sysroot=@BARE@"
#include <distill/distill.hpp>
