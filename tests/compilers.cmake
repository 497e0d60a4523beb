# For tests that call compilers themselves: `compilers`, that of this build and DISTILL_TEST_COMPILERS, each once whatever it
# is called; `foreign`, the flags that name other people's include directories.

# include_flags(RESULT TARGETS...): the flags that name the include directories of TARGETS
function(include_flags result)
  set(flags)
  foreach(target ${ARGN})
    get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
    list(APPEND flags ${folders})
  endforeach()
  list(FILTER flags EXCLUDE REGEX "INSTALL_INTERFACE")  # of what is downloaded
  list(REMOVE_ITEM flags ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
  list(TRANSFORM flags REPLACE "(.+)" "-isystem \"\\1\"")
  list(JOIN flags " " flags)
  set(${result} "${flags}" PARENT_SCOPE)
endfunction()
include_flags(foreign distill::xsimd Eigen3::Eigen)

set(DISTILL_TEST_COMPILERS "" CACHE STRING
  "Further compilers that tests of builds, headers and messages call, such as g++;clang++-14;clang++-19")
set(compilers)
set(seen)
foreach(compiler ${CMAKE_CXX_COMPILER} ${DISTILL_TEST_COMPILERS})
  get_filename_component(name ${compiler} NAME)
  find_program(DISTILL_${name} ${compiler})
  mark_as_advanced(DISTILL_${name})
  get_filename_component(real "${DISTILL_${name}}" REALPATH)
  if(NOT DISTILL_${name})
    message(STATUS "distill: ${name} is not installed, so nothing is compiled with it")
  elseif(NOT real IN_LIST seen)
    list(APPEND compilers ${DISTILL_${name}})
    list(APPEND seen ${real})
  endif()
endforeach()
