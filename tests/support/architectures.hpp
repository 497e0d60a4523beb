// The architectures that one build can test: scalar code, the default, and narrower ones that the compiler enables.
#pragma once

#include <distill/kernels/simd/lanes.hpp>

namespace support {

using Scalar = distill::kernels::ScalarArch;
using Default = distill::kernels::DefaultArch;

#if !defined(DISTILL_NO_SIMD) && defined(__SSE2__)
using Sse2 = xsimd::sse2;
#else
using Sse2 = Scalar;
#endif

#if !defined(DISTILL_NO_SIMD) && defined(__AVX2__) && defined(__FMA__)
using Avx2 = xsimd::fma3<xsimd::avx2>;
#else
using Avx2 = Scalar;
#endif

}  // namespace support

#define DISTILL_TEST_ARCHITECTURES support::Scalar, support::Sse2, support::Avx2, support::Default
