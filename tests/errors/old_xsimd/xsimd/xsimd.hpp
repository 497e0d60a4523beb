// What an older xsimd says of itself.
#define XSIMD_VERSION_MAJOR 7
#define XSIMD_VERSION_MINOR 6
