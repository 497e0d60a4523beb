# find_package(distill): the target distill::distill
include(${CMAKE_CURRENT_LIST_DIR}/DistillXsimd.cmake)
if(TARGET distill::xsimd)
  include(${CMAKE_CURRENT_LIST_DIR}/distillTargets.cmake)
else()
  set(distill_FOUND FALSE)
  set(distill_NOT_FOUND_MESSAGE
    "distill needs the headers of xsimd 8.1 or later (Debian: apt-get install libxsimd-dev), or xsimd_DIR")
endif()
