# Headers, a CMake package and a pkg-config file; all can be moved together to another prefix.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/distill)
set(pkgconfig_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/distill DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN *.hpp)

# While the major version is 0, every incompatible change increases the minor version.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/distillConfigVersion.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(TARGETS distill EXPORT distillTargets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT distillTargets NAMESPACE distill:: DESTINATION ${package_dir})
install(FILES
  ${CMAKE_CURRENT_LIST_DIR}/distillConfig.cmake
  ${CMAKE_CURRENT_LIST_DIR}/DistillXsimd.cmake
  ${PROJECT_BINARY_DIR}/distillConfigVersion.cmake
  DESTINATION ${package_dir})

file(RELATIVE_PATH include_from_pkgconfig
  ${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig ${CMAKE_INSTALL_FULL_INCLUDEDIR})
configure_file(${CMAKE_CURRENT_LIST_DIR}/distill.pc.in ${PROJECT_BINARY_DIR}/distill.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/distill.pc DESTINATION ${pkgconfig_dir})
