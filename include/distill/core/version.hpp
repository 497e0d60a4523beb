// The version, and the inline namespace around everything.
//
// Two translation units of one program may be compiled with different instruction sets. Were their inline functions
// to share names, the linker would keep one of the two and a CPU could meet instructions that it lacks. So the name of
// the inline namespace holds all that changes the code: version, instruction set, whether exceptions are off, and
// whether scratch memory has guards.
#pragma once

#if __cplusplus < 201703L && (!defined(_MSVC_LANG) || _MSVC_LANG < 201703L)
#error "distill: this is not C++17. Compile with -std=c++17 or later (CMake: target_compile_features(... cxx_std_17))"
#endif

#define DISTILL_VERSION_MAJOR 0
#define DISTILL_VERSION_MINOR 1
#define DISTILL_VERSION_PATCH 0
#define DISTILL_VERSION_STRING "0.1.0"

#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ && !defined(DISTILL_ALLOW_FINITE_MATH)
#error \
    "distill: -ffinite-math-only (part of -ffast-math) breaks the handling of NaN and infinity; compile without it \
(-fno-fast-math after -ffast-math), or define DISTILL_ALLOW_FINITE_MATH if no input ever holds either"
#endif
#if defined(__ASSOCIATIVE_MATH__)  // gcc defines it; clang does not
#error \
    "distill: -fassociative-math (part of -ffast-math and -funsafe-math-optimizations) makes results wrong; compile \
without it (-fno-fast-math after either)"
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512CD__)
#if defined(__AVX512VNNI__) && defined(__AVX512VBMI2__)
#define DISTILL_ISA avx512vbmi2_vnni
#elif defined(__AVX512VNNI__)
#define DISTILL_ISA avx512bw_vnni
#elif defined(__AVX512VBMI__)
#define DISTILL_ISA avx512vbmi
#elif defined(__AVX512IFMA__)
#define DISTILL_ISA avx512ifma
#else
#define DISTILL_ISA avx512bw
#endif
#elif defined(__AVX512F__)
#define DISTILL_ISA avx512f
#elif defined(__AVXVNNI__)
#define DISTILL_ISA avxvnni
#elif defined(__AVX2__)
#define DISTILL_ISA avx2
#elif defined(__AVX__)
#define DISTILL_ISA avx
#elif defined(__SSE4_2__)
#define DISTILL_ISA sse4_2
#elif defined(__SSE4_1__)
#define DISTILL_ISA sse4_1
#elif defined(__SSSE3__)
#define DISTILL_ISA ssse3
#elif defined(__SSE3__)
#define DISTILL_ISA sse3
#elif defined(__SSE2__)
#define DISTILL_ISA sse2
#elif defined(__ARM_FEATURE_SVE)
#define DISTILL_ISA sve
#elif defined(__aarch64__)
#define DISTILL_ISA neon64
#elif defined(__ARM_NEON)
#define DISTILL_ISA neon
#else
#define DISTILL_ISA generic
#endif

#if defined(__FMA__)
#define DISTILL_ISA_FMA _fma
#else
#define DISTILL_ISA_FMA
#endif

#if defined(__F16C__)
#define DISTILL_ISA_F16C _f16c
#else
#define DISTILL_ISA_F16C
#endif

#if defined(DISTILL_NO_SIMD)
#define DISTILL_ABI_SIMD _scalar
#else
#define DISTILL_ABI_SIMD
#endif

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS) || defined(_CPPUNWIND)
#define DISTILL_EXCEPTIONS 1
#define DISTILL_ABI_EXCEPTIONS
#else
#define DISTILL_EXCEPTIONS 0
#define DISTILL_ABI_EXCEPTIONS _noexcept
#endif

#if defined(__SANITIZE_ADDRESS__)
#define DISTILL_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DISTILL_ADDRESS_SANITIZER 1
#endif
#endif

// scratch memory with guards: core/scratch_guards.hpp
#if defined(DISTILL_ADDRESS_SANITIZER)
#define DISTILL_ABI_GUARDS _asan
#elif defined(DISTILL_SCRATCH_GUARDS)
#define DISTILL_ABI_GUARDS _guards
#else
#define DISTILL_ABI_GUARDS
#endif

#define DISTILL_JOIN_EXPANDED(a, b, c, d, e, f, g) a##b##c##d##e##f##g
#define DISTILL_JOIN(a, b, c, d, e, f, g) DISTILL_JOIN_EXPANDED(a, b, c, d, e, f, g)
#define DISTILL_ABI                                                                                             \
  DISTILL_JOIN(v0_1_, DISTILL_ISA, DISTILL_ISA_FMA, DISTILL_ISA_F16C, DISTILL_ABI_SIMD, DISTILL_ABI_EXCEPTIONS, \
               DISTILL_ABI_GUARDS)
