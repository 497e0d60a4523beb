# Compiles (COMPILER FLAGS) the headers below INCLUDE in one of two ways, and names those that fail.
#
#   WHAT=alone     each header (that contains NAMING) as the first thing that its translation unit sees, and a second time
#   WHAT=together  all of them behind the macros min and max, with a call of every loss
#
# FOREIGN are the flags that name other people's include directories; SCRATCH is a folder to write to.
file(GLOB_RECURSE headers RELATIVE ${INCLUDE} ${INCLUDE}/*.hpp)
list(FILTER headers EXCLUDE REGEX "^distill/adapters/")  # need their hosts: tests/adapters
separate_arguments(FLAGS UNIX_COMMAND "${FLAGS}")
separate_arguments(FOREIGN UNIX_COMMAND "${FOREIGN}")
set(warnings -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)

# Sets `failed` to what the compiler says about SOURCE, or to nothing
function(compile name source)
  file(WRITE ${SCRATCH}/${name}.cpp "${source}")
  execute_process(
    COMMAND ${COMPILER} ${FLAGS} ${warnings} -fsyntax-only "-I${INCLUDE}" ${FOREIGN} ${SCRATCH}/${name}.cpp
    RESULT_VARIABLE result ERROR_VARIABLE message OUTPUT_QUIET)
  if(NOT result EQUAL 0)
    message(NOTICE "${message}")
    set(failed ${failed} ${name} PARENT_SCOPE)
  endif()
endfunction()

set(failed)
if(WHAT STREQUAL "alone")
  foreach(header ${headers})
    file(STRINGS ${INCLUDE}/${header} named REGEX "${NAMING}" LIMIT_COUNT 1)
    if(NOT named)
      continue()
    endif()
    compile(${header} "#include <${header}>\n#include <${header}>\n")
  endforeach()
else()
  # What is not ours need not cope with the macros, so it comes first.
  set(source "")
  foreach(foreign algorithm array atomic cmath complex functional limits memory numeric random sstream string thread
      type_traits vector xsimd/xsimd.hpp Eigen/Dense)
    string(APPEND source "#include <${foreign}>\n")
  endforeach()
  string(APPEND source
    "#define min(a, b) (((a) < (b)) ? (a) : (b))\n#define max(a, b) (((a) > (b)) ? (a) : (b))\n")
  foreach(header ${headers})
    string(APPEND source "#include <${header}>\n")
  endforeach()
  string(APPEND source "#include \"${CALLS}\"\n"
    "#include \"${CMAKE_CURRENT_LIST_DIR}/losses_with_eigen.hpp\"\n"
    "bool with_eigen() { return losses_with_eigen_are_finite<float>() && losses_with_eigen_are_finite<double>(); }\n"
    "int main() { return with_eigen() && every_loss_is_right<float>() && every_loss_is_right<double>() ? 0 : 1; }\n")
  compile(together "${source}")
endif()
if(failed)
  list(JOIN failed " " failed)
  message(FATAL_ERROR "${COMPILER} does not compile: ${failed}")
endif()
