// error: this is not C++17. Compile with -std=c++17 or later
// wrong: -std=c++14 "-I@INCLUDE@" @FOREIGN@
#include <distill/logits/kl_divergence.hpp>
