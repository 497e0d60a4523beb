# Counts the instructions of one call of each kernel in PROGRAM, by VALGRIND, and compares them with those in FIGURES;
# or writes FIGURES, if ACCEPT.
cmake_minimum_required(VERSION 3.14)
set(margin 20)  # per mille

set(profile ${PROGRAM}.callgrind)
execute_process(
  COMMAND ${VALGRIND} --tool=callgrind --collect-atstart=no --combine-dumps=yes --callgrind-out-file=${profile} ${PROGRAM}
  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${output}")
endif()

# A kernel's dump says "desc: Trigger: Client Request: NAME" and "totals: COUNT".
set(figures "# Instructions of one call: g++ 12 -O3 -march=x86-64-v3, xsimd 8.1\n")
set(changes)
file(STRINGS ${profile} lines REGEX "^(desc: Trigger: Client Request|totals): ")
file(STRINGS ${FIGURES} accepted REGEX "^[^#]")
foreach(line ${lines})
  if(line MATCHES "^desc: .*: (.*)")
    set(name ${CMAKE_MATCH_1})
  elseif(name)
    string(REGEX REPLACE "totals: " "" new ${line})
    set(figures "${figures}${name}: ${new}\n")
    set(old ${accepted})
    list(FILTER old INCLUDE REGEX "^${name}: ")
    list(FILTER accepted EXCLUDE REGEX "^${name}: ")
    string(REGEX REPLACE ".*: " "" old "${old}")
    if(NOT old)
      set(changes "${changes}\n  ${name}: ${new}, which is new")
    else()
      math(EXPR change "(${new} - ${old}) * 1000 / ${old}")
      string(REGEX REPLACE "(.)$" ".\\1" percent ${change})
      if(change GREATER margin)
        set(changes "${changes}\n  ${name}: ${old} -> ${new}, +${percent} %, slower")
      elseif(change LESS -${margin})
        set(changes "${changes}\n  ${name}: ${old} -> ${new}, ${percent} %, faster")
      endif()
    endif()
    set(name)
  endif()
endforeach()
foreach(line ${accepted})
  set(changes "${changes}\n  ${line}, which is not counted")
endforeach()

if(ACCEPT)
  file(WRITE ${FIGURES} "${figures}")
  message(STATUS "${FIGURES}:${changes}")
elseif(changes)
  message(FATAL_ERROR "Instructions of one call:${changes}\n"
    "Accept them: cmake --build … --target accept_instruction_counts")
endif()
