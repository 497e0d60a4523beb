# Makes distill_armadillo, if Armadillo is installed.
find_package(Armadillo QUIET)
if(ARMADILLO_FOUND)
  add_library(distill_armadillo INTERFACE)
  target_include_directories(distill_armadillo SYSTEM INTERFACE ${ARMADILLO_INCLUDE_DIRS})
  target_link_libraries(distill_armadillo INTERFACE ${ARMADILLO_LIBRARIES})
endif()
