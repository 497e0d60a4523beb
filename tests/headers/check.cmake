# Compiles (COMPILER FLAGS) the headers below INCLUDE in one of these ways, and names those that fail.
#
#   WHAT=alone     each header (that contains NAMING) as the first thing that its translation unit sees, and a second time
#   WHAT=together  all of them after hostile macros, with a call of every loss for each of SCALARS
#   WHAT=windows   the same after <windows.h>
#   WHAT=code      a call of every loss, compiled to the end: some warnings come with the code
#
# FOREIGN are the flags that name other people's include directories; SCRATCH is a folder to write to.
file(GLOB_RECURSE headers RELATIVE ${INCLUDE} ${INCLUDE}/*.hpp)
list(FILTER headers EXCLUDE REGEX "^distill/adapters/")  # need their hosts: tests/adapters
separate_arguments(FLAGS UNIX_COMMAND "${FLAGS}")
separate_arguments(FOREIGN UNIX_COMMAND "${FOREIGN}")
separate_arguments(SCALARS)
set(compile ${COMPILER} ${FLAGS} -Werror -I${INCLUDE} ${FOREIGN})

# compile(NAME SOURCE [FLAG...]): adds NAME to `failed` if the compiler does not take SOURCE
function(compile name source)
  file(WRITE ${SCRATCH}/${name}.cpp "${source}")
  execute_process(
    COMMAND ${compile} ${ARGN} ${SCRATCH}/${name}.cpp
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
    compile(${header} "#include <${header}>\n#include <${header}>\n" -fsyntax-only)
  endforeach()
else()
  set(includes)
  foreach(header ${headers})
    string(APPEND includes "#include <${header}>\n")
  endforeach()
  string(APPEND includes "#include \"${CALLS}\"\n#include \"${CMAKE_CURRENT_LIST_DIR}/losses_with_eigen.hpp\"\n")
  set(main "int main() { return true")
  foreach(scalar ${SCALARS})
    string(APPEND main " && losses_with_eigen_are_finite<${scalar}>() && every_loss_is_right<${scalar}>()")
  endforeach()
  string(APPEND main " ? 0 : 1; }\n")
  if(WHAT STREQUAL "code")
    compile(code "${includes}${main}" -S -o ${SCRATCH}/code.s)
  elseif(WHAT STREQUAL "windows")
    compile(windows "#include <windows.h>\n${includes}${main}" -fsyntax-only)
  else()
    # What is not ours need not cope with the macros, so it comes first.
    set(foreign)
    foreach(header algorithm array atomic cmath complex functional limits memory numeric random sstream string thread
        type_traits vector xsimd/xsimd.hpp Eigen/Dense)
      string(APPEND foreign "#include <${header}>\n")
    endforeach()
    compile(together "${foreign}#include \"${CMAKE_CURRENT_LIST_DIR}/hostile_macros.hpp\"\n${includes}${main}" -fsyntax-only)
  endif()
endif()
if(failed)
  list(JOIN failed " " failed)
  message(FATAL_ERROR "${COMPILER} does not compile: ${failed}")
endif()
