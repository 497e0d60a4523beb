#include <doctest/doctest.h>

#include <distill/core/version.hpp>
#include <string>

#define DISTILL_TEST_TEXT_EXPANDED(x) #x
#define DISTILL_TEST_TEXT(x) DISTILL_TEST_TEXT_EXPANDED(x)

TEST_CASE("the version is said in three ways that agree") {
  const std::string text = std::to_string(DISTILL_VERSION_MAJOR) + "." + std::to_string(DISTILL_VERSION_MINOR) + "." +
                           std::to_string(DISTILL_VERSION_PATCH);
  CHECK(text == DISTILL_VERSION_STRING);
}

TEST_CASE("the inline namespace's name holds the version, the instruction set and what else changes code") {
  const std::string name = DISTILL_TEST_TEXT(DISTILL_ABI);
  const std::string prefix =
      "v" + std::to_string(DISTILL_VERSION_MAJOR) + "_" + std::to_string(DISTILL_VERSION_MINOR) + "_";
  CHECK(name.rfind(prefix, 0) == 0);
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  CHECK(has("noexcept") == (DISTILL_EXCEPTIONS == 0));
#if defined(DISTILL_ADDRESS_SANITIZER)
  CHECK(has("_asan"));
#elif defined(DISTILL_SCRATCH_GUARDS)
  CHECK(has("_guards"));
#endif
#if defined(__FMA__)
  CHECK(has("_fma"));
#else
  CHECK(!has("_fma"));
#endif
#if defined(__AVX512F__)
  CHECK(has("avx512"));
#elif defined(__AVX2__)
  CHECK(has("avx"));
#elif defined(__SSE2__)
  CHECK(has("sse"));
#endif
#if defined(DISTILL_NO_SIMD)
  CHECK(has("_scalar"));
#endif
}
