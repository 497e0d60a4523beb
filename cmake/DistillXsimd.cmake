# Makes distill::xsimd, the headers of xsimd, if xsimd is part of the build or installed. Used by the build and by the
# installed package.
#
# Only xsimd's include directories are used: the CMake target of Debian 12 links xtl, which it does not need.
if(NOT TARGET distill::xsimd)
  if(NOT TARGET xsimd)
    find_package(xsimd QUIET)
  endif()
  if(TARGET xsimd)
    add_library(distill::xsimd INTERFACE IMPORTED GLOBAL)
    get_target_property(_distill_xsimd_include xsimd INTERFACE_INCLUDE_DIRECTORIES)
    set_target_properties(distill::xsimd PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_distill_xsimd_include}")
    unset(_distill_xsimd_include)
  endif()
endif()
