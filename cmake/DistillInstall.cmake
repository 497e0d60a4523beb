# Headers, a CMake package and a pkg-config file; all can be moved together to another prefix. They are the component
# distill, part of what is installed by default only with DISTILL_INSTALL. There are rules in any case: CMake wants them where
# somebody else's library that links distill is exported.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/distill)
set(pkgconfig_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)
set(component COMPONENT distill)
if(NOT DISTILL_INSTALL)
  list(APPEND component EXCLUDE_FROM_ALL)
endif()

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/distill DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} ${component}
  FILES_MATCHING PATTERN *.hpp)

# While the major version is 0, every incompatible change increases the minor version.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/distillConfigVersion.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(TARGETS distill EXPORT distillTargets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT distillTargets NAMESPACE distill:: DESTINATION ${package_dir} ${component})
install(FILES
  ${CMAKE_CURRENT_LIST_DIR}/distillConfig.cmake
  ${CMAKE_CURRENT_LIST_DIR}/DistillXsimd.cmake
  ${PROJECT_BINARY_DIR}/distillConfigVersion.cmake
  DESTINATION ${package_dir} ${component})
# The build tree is a package, too.
export(EXPORT distillTargets NAMESPACE distill:: FILE ${PROJECT_BINARY_DIR}/distillTargets.cmake)
configure_file(${CMAKE_CURRENT_LIST_DIR}/distillConfig.cmake ${PROJECT_BINARY_DIR}/distillConfig.cmake COPYONLY)
configure_file(${CMAKE_CURRENT_LIST_DIR}/DistillXsimd.cmake ${PROJECT_BINARY_DIR}/DistillXsimd.cmake COPYONLY)

file(RELATIVE_PATH include_from_pkgconfig
  ${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig ${CMAKE_INSTALL_FULL_INCLUDEDIR})
configure_file(${CMAKE_CURRENT_LIST_DIR}/distill.pc.in ${PROJECT_BINARY_DIR}/distill.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/distill.pc DESTINATION ${pkgconfig_dir} ${component})
