# COMPILER says of the file MISTAKE first what stands at its top, and compiles it where the mistake is not made:
#
#   // error: TEXT    of the first error, a part; the page PAGE has it, too
#   // wrong: FLAGS   that make the mistake; -DWRONG unless told, with all that is needed on the include path
set(right "-std=c++17 -DDISTILL_NO_SIMD \"-I${INCLUDE}\" ${FOREIGN}")
set(wrong "${right} -DWRONG")
file(STRINGS ${MISTAKE} top LIMIT_COUNT 2)
foreach(line ${top})
  if(line MATCHES "^// error: (.*)")
    set(expected ${CMAKE_MATCH_1})
  elseif(line MATCHES "^// wrong: (.*)")
    string(CONFIGURE "${CMAKE_MATCH_1}" wrong @ONLY)
  endif()
endforeach()

# Sets `result` and `first`, the first line with an error
function(compile flags)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  execute_process(COMMAND ${CMAKE_COMMAND} -E env LC_ALL=C ${COMPILER} ${flags} -fsyntax-only ${MISTAKE}
    RESULT_VARIABLE result ERROR_VARIABLE message OUTPUT_QUIET)
  string(REGEX MATCH "[^\n]*error: [^\n]*" first "${message}")
  set(result ${result} PARENT_SCOPE)
  set(first "${first}" PARENT_SCOPE)
endfunction()

compile("${right}")
if(NOT result EQUAL 0)
  message(FATAL_ERROR "There is an error where there is no mistake: ${first}")
endif()
compile("${wrong}")
string(FIND "${first}" "${expected}" at)
if(result EQUAL 0 OR at EQUAL -1)
  message(FATAL_ERROR "The first error is\n${first}\nexpected\n${expected}")
endif()
file(READ ${PAGE} page)
string(FIND "${page}" "${expected}" at)
if(at EQUAL -1)
  message(FATAL_ERROR "${PAGE} does not have: ${expected}")
endif()
