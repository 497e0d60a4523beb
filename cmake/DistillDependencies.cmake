# Where the dependencies come from: an installed package first, else a pinned release.
#
#   distill_require(NAME)   makes the target of that dependency, or stops with what to do about it.
#
# | NAME          | target                        | who needs it             |
# |---------------|-------------------------------|--------------------------|
# | xsimd         | distill::xsimd                | the library              |
# | Eigen3        | Eigen3::Eigen                 | tests, bench, examples   |
# | doctest       | doctest::doctest              | tests                    |
# | benchmark     | benchmark::benchmark          | bench                    |
# | CLI11         | CLI11::CLI11                  | bench, examples, tools   |
# | nlohmann_json | nlohmann_json::nlohmann_json  | tests, bench, examples   |
include(FetchContent)

# Fetches URL as NAME, unless FETCHCONTENT_SOURCE_DIR_<NAME> names a folder that has it.
# Sets <NAME>_SOURCE_DIR. The archive is downloaded by hand so that a failure can say what helps.
macro(_distill_fetch name url debian_package)
  string(TOUPPER ${name} _distill_upper)
  set(_distill_source URL ${url})
  if(NOT FETCHCONTENT_SOURCE_DIR_${_distill_upper})
    set(_distill_archive ${CMAKE_BINARY_DIR}/_downloads/${name}.tar.gz)
    set(_distill_status 0 "")
    if(NOT EXISTS ${_distill_archive})
      message(STATUS "distill: ${name} is not installed, downloading ${url}")
      file(DOWNLOAD ${url} ${_distill_archive} STATUS _distill_status TIMEOUT 300 INACTIVITY_TIMEOUT 20)
    endif()
    list(GET _distill_status 0 _distill_code)
    if(NOT _distill_code EQUAL 0)
      file(REMOVE ${_distill_archive})
      message(FATAL_ERROR "distill: ${name} is neither installed nor downloadable (${url}: ${_distill_status}).\n"
        "Either install the Debian package:  apt-get install ${debian_package}\n"
        "or name a folder with its sources:  cmake -DFETCHCONTENT_SOURCE_DIR_${_distill_upper}=/path/to/${name}")
    endif()
    set(_distill_source URL ${_distill_archive})
  endif()
  if(POLICY CMP0135)
    cmake_policy(SET CMP0135 NEW)
  endif()
  FetchContent_Declare(${name} ${_distill_source})
  FetchContent_MakeAvailable(${name})
  string(TOLOWER ${name} _distill_lower)
  set(${name}_SOURCE_DIR ${${_distill_lower}_SOURCE_DIR})
endmacro()

macro(distill_require name)
  if("${name}" STREQUAL "xsimd")
    _distill_require_xsimd()
  elseif("${name}" STREQUAL "Eigen3")
    _distill_require_eigen()
  elseif("${name}" STREQUAL "doctest")
    _distill_find_or_fetch(doctest doctest::doctest doctest-dev
      https://github.com/doctest/doctest/archive/refs/tags/v2.4.11.tar.gz)
  elseif("${name}" STREQUAL "benchmark")
    set(BENCHMARK_ENABLE_TESTING OFF)
    set(BENCHMARK_ENABLE_INSTALL OFF)
    _distill_find_or_fetch(benchmark benchmark::benchmark libbenchmark-dev
      https://github.com/google/benchmark/archive/refs/tags/v1.9.1.tar.gz)
  elseif("${name}" STREQUAL "CLI11")
    _distill_find_or_fetch(CLI11 CLI11::CLI11 libcli11-dev
      https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.4.2.tar.gz)
  elseif("${name}" STREQUAL "nlohmann_json")
    _distill_find_or_fetch(nlohmann_json nlohmann_json::nlohmann_json nlohmann-json3-dev
      https://github.com/nlohmann/json/archive/refs/tags/v3.11.3.tar.gz)
  else()
    message(FATAL_ERROR "distill_require: unknown dependency '${name}'")
  endif()
endmacro()

macro(_distill_find_or_fetch name target debian_package url)
  if(NOT TARGET ${target})
    find_package(${name} QUIET)
  endif()
  if(NOT TARGET ${target})
    _distill_fetch(${name} ${url} ${debian_package})
  endif()
endmacro()

macro(_distill_require_xsimd)
  include(DistillXsimd)
  if(NOT TARGET distill::xsimd)
    _distill_fetch(xsimd https://github.com/xtensor-stack/xsimd/archive/refs/tags/14.3.0.tar.gz libxsimd-dev)
    include(DistillXsimd)
  endif()
endmacro()

# Eigen's version file refuses a later major version, so the version is checked here and not in find_package.
macro(_distill_require_eigen)
  if(NOT TARGET Eigen3::Eigen)
    find_package(Eigen3 QUIET NO_MODULE)
  endif()
  if(NOT TARGET Eigen3::Eigen)
    set(EIGEN_BUILD_TESTING OFF)
    set(EIGEN_BUILD_DOC OFF)
    _distill_fetch(Eigen3 https://gitlab.com/libeigen/eigen/-/archive/5.0.1/eigen-5.0.1.tar.gz libeigen3-dev)
    # as if installed: no warnings of its headers, which have some with AVX-512
    get_target_property(_distill_eigen Eigen3::Eigen ALIASED_TARGET)
    get_target_property(_distill_eigen_include ${_distill_eigen} INTERFACE_INCLUDE_DIRECTORIES)
    set_target_properties(${_distill_eigen} PROPERTIES INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${_distill_eigen_include}")
  elseif(DEFINED Eigen3_VERSION AND Eigen3_VERSION VERSION_LESS 3.4)
    message(FATAL_ERROR "distill: Eigen ${Eigen3_VERSION} is too old, 3.4 or later is needed (Debian 12: apt-get install libeigen3-dev)")
  endif()
endmacro()
