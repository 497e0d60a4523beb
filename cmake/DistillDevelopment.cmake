# How this project's own targets (tests, bench, examples) are built. Consumers never see it.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# With C++20, CMake 3.28 and later would run the preprocessor over every source once more.
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
find_package(Threads REQUIRED)
distill_require(Eigen3)
include(DistillArmadillo)
include(DistillTorch)

add_library(distill_development INTERFACE)
target_link_libraries(distill_development INTERFACE distill::distill Eigen3::Eigen Threads::Threads)
target_compile_features(distill_development INTERFACE cxx_std_20)
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  target_compile_options(distill_development INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms of gcc 12: the deliberately undefined operands of its AVX-512 intrinsics, which Eigen uses (bug 105593),
  # and std::string's operator+ (bug 105651).
  target_compile_options(distill_development INTERFACE -Wno-maybe-uninitialized -Wno-uninitialized -Wno-restrict)
endif()

# distill_skipped_test(NAME LABEL WHY): a placeholder for a test that cannot run here, which says why
function(distill_skipped_test name label why)
  add_test(NAME ${name} COMMAND ${CMAKE_COMMAND} -E echo "skipped: ${why}")
  set_tests_properties(${name} PROPERTIES LABELS ${label} SKIP_REGULAR_EXPRESSION "^skipped: ")
endfunction()
