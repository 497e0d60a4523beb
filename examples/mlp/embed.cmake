# cmake -D INPUT=file -D OUTPUT=file.cpp -D NAME=symbol -P embed.cmake
#
# Turns a file into a C++ source that defines mlp::NAME, an array of its bytes, and mlp::NAME_size.
file(READ ${INPUT} bytes HEX)
string(LENGTH ${bytes} size)
math(EXPR size "${size} / 2")
string(REGEX REPLACE "(..)" "0x\\1," bytes ${bytes})
file(WRITE ${OUTPUT} "#include <cstddef>
namespace mlp {
extern const unsigned char ${NAME}[];
extern const std::size_t ${NAME}_size;
const unsigned char ${NAME}[] = {${bytes}};
const std::size_t ${NAME}_size = ${size};
}  // namespace mlp
")
