# Installs the build tree FROM into the empty folder TO; fails if that put nothing there, or if it had to be NOTHING.
# Below TO it is not where it was configured to be, so what uses it shows that it can be moved.
file(REMOVE_RECURSE ${TO})
execute_process(
  COMMAND ${CMAKE_COMMAND} -E env DESTDIR=${TO} ${CMAKE_COMMAND} -D CMAKE_INSTALL_PREFIX=/usr/local -P ${FROM}/cmake_install.cmake
  RESULT_VARIABLE failed OUTPUT_QUIET)
file(GLOB_RECURSE installed ${TO}/*)
if(failed OR (NOTHING AND installed) OR NOT (NOTHING OR installed))
  message(FATAL_ERROR "install said '${failed}' and put these files into ${TO}: '${installed}'")
endif()
