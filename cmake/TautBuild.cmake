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
target_compile_options(taut_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
                                              -Wcast-qual -Wvla -Wno-restrict -fno-math-errno -ffp-contract=off)
if(TAUT_ASSERTS)
  target_compile_definitions(taut_options INTERFACE TAUT_ASSERTS=1)
endif()
if(TAUT_SANITIZE)
  target_compile_options(taut_options INTERFACE -fsanitize=${TAUT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(taut_options INTERFACE -fsanitize=${TAUT_SANITIZE})
endif()

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
  set_property(GLOBAL APPEND PROPERTY TAUT_AREAS ${name})
endfunction()

# taut_test(NAME SOURCES a_test.cc ... LIBS taut::x ... [LABELS l ...] [TIMEOUT seconds])
# One GoogleTest binary; every TEST is a ctest entry of its own.
function(taut_test name)
  cmake_parse_arguments(ARG "WHOLE" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} taut_options GTest::gmock GTest::gtest GTest::gtest_main)
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
