# How an area, a test binary and a benchmark are declared; warnings, sanitizers and outside packages.
include(GNUInstallDirs)
set(CMAKE_CXX_VISIBILITY_PRESET default)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

find_program(TAUT_CCACHE ccache)
if(TAUT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${TAUT_CCACHE})
endif()

find_package(Threads REQUIRED)

# What every target of ours is compiled with; never exported to users.
add_library(taut_options INTERFACE)
target_compile_features(taut_options INTERFACE cxx_std_20)
# Kernels are compiled for each instruction set but SSSE3's own: a processor that has it without SSE4 is of 2006.
target_compile_definitions(taut_options INTERFACE HWY_DISABLED_TARGETS=HWY_SSSE3)
target_compile_options(taut_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
                                              -Wcast-qual -Wvla -Wno-restrict -fno-math-errno -ffp-contract=off)
if(TAUT_ASSERTS)
  target_compile_definitions(taut_options INTERFACE TAUT_ASSERTS=1)
endif()
if(TAUT_SANITIZE)
  target_compile_options(taut_options INTERFACE -fsanitize=${TAUT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(taut_options INTERFACE -fsanitize=${TAUT_SANITIZE})
endif()

# taut_unity(TARGET): compiles a few sources of a target as one file, so that the headers that they share are read once.
# A source that Highway compiles once for each instruction set (foreach_target.h) stays alone: it includes itself.
function(taut_unity target)
  if(NOT TAUT_UNITY)
    return()
  endif()
  get_target_property(_sources ${target} SOURCES)
  foreach(_source IN LISTS _sources)
    file(STRINGS ${_source} _includes_itself REGEX "foreach_target\\.h" LIMIT_COUNT 1)
    if(_includes_itself)
      set_source_files_properties(${_source} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
  # The warning is meant for headers, and takes an included source for one.
  target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
endfunction()

# taut_light(TARGET): an area without loops over data, of whose optimization nobody would see more than how long it takes.
function(taut_light target)
  if(CMAKE_BUILD_TYPE STREQUAL Release)
    target_compile_options(${target} PRIVATE -O1 -Wno-array-bounds)
  endif()
endfunction()

# taut_area(NAME SOURCES a.cc ... [PUBLIC targets...] [PRIVATE targets...])
# One library per area: target taut_NAME, alias taut::NAME, public headers in include/taut/NAME.
# PUBLIC names what its headers need, PRIVATE what only its sources need.
function(taut_area name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(taut_${name} STATIC ${ARG_SOURCES})
  add_library(taut::${name} ALIAS taut_${name})
  set_target_properties(taut_${name} PROPERTIES EXPORT_NAME ${name} OUTPUT_NAME taut_${name})
  target_include_directories(taut_${name}
    PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_compile_features(taut_${name} PUBLIC cxx_std_20)
  target_link_libraries(taut_${name} PUBLIC ${ARG_PUBLIC} PRIVATE $<BUILD_INTERFACE:taut_options> ${ARG_PRIVATE})
  taut_unity(taut_${name})
  set_property(GLOBAL APPEND PROPERTY TAUT_AREAS ${name})
endfunction()

# Tests are compiled nearly as written: an assertion is much code that runs once, and what they test is in the
# areas' libraries, optimized. Sanitizers make several times that code of it.
if(TAUT_SANITIZE)
  set(TAUT_TEST_OPTIONS -O0 -g1)
elseif(CMAKE_BUILD_TYPE STREQUAL Release)
  set(TAUT_TEST_OPTIONS -O1 -Wno-array-bounds)  # with -O1 GCC 12 suspects "path" + "/more"
endif()

# taut_test_headers(NAME [LIBS targets...] HEADERS <x.h> ...): headers that tests share, read once (see taut_test).
# LIBS give what must be the same for all of them: the definitions and folders of a package.
function(taut_test_headers name)
  cmake_parse_arguments(ARG "" "" "LIBS;HEADERS" ${ARGN})
  add_library(${name} OBJECT ${PROJECT_SOURCE_DIR}/tests/support/headers.cc)
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} taut_options GTest::gmock GTest::gtest)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)  # as executables are compiled, not libraries:
  target_compile_options(${name} PRIVATE -fPIE ${TAUT_TEST_OPTIONS})
  target_precompile_headers(${name} PRIVATE <gmock/gmock.h> <gtest/gtest.h> ${ARG_HEADERS})
endfunction()

# taut_test(NAME SOURCES a_test.cc ... LIBS taut::x ... [HEADERS target] [LABELS l ...] [TIMEOUT seconds])
# One GoogleTest binary; every TEST is a ctest entry of its own. HEADERS: another target than taut_test_headers.
function(taut_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;HEADERS" "SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT ARG_HEADERS)
    set(ARG_HEADERS taut_test_headers)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} taut_options GTest::gmock GTest::gtest GTest::gtest_main)
  target_compile_options(${name} PRIVATE ${TAUT_TEST_OPTIONS})
  target_precompile_headers(${name} REUSE_FROM ${ARG_HEADERS})
  target_compile_definitions(${name} PRIVATE TAUT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 120 PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()

# taut_bench(NAME SOURCES a_bench.cc LIBS taut::x ...): one Google Benchmark binary.
function(taut_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} taut_options benchmark::benchmark)
endfunction()

if(TAUT_TORCH OR TAUT_ARROW)
  find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)
endif()
if(TAUT_TORCH)
  include(TautTorch)
endif()
if(TAUT_ARROW)
  include(TautArrow)
endif()

# What is installed finds our library beside its own place, and LibTorch's and Arrow's where they were linked.
set(TAUT_OUTSIDE_RPATH ${TAUT_TORCH_LIB} ${TAUT_ARROW_LIB})
set(CMAKE_INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}" ${TAUT_OUTSIDE_RPATH})
