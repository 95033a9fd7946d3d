# make install and find_package(taut COMPONENTS ...): every area that was built is a component, a static library with its
# headers, and torch is the library of operators for PyTorch. A component finds what it needs and nothing else.
include(CMakePackageConfigHelpers)
set(_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/taut)

# Packages of the targets that our areas link; a target that is not listed stops the configuration.
set(_package_of_Threads::Threads Threads)
set(_package_of_spdlog::spdlog spdlog)
set(_package_of_nlohmann_json::nlohmann_json nlohmann_json)
set(_package_of_tomlplusplus::tomlplusplus tomlplusplus)
set(_package_of_hwy HWY)
set(_package_of_JPEG::JPEG JPEG)
set(_package_of_PNG::PNG PNG)
set(_package_of_ZLIB::ZLIB ZLIB)
set(_package_of_torch Torch)
set(_package_of_taut_libarrow Arrow)
set(_package_of_taut_libparquet Arrow)
set(_plain_libraries onnx onnx_proto protobuf)  # -lonnx and so on: nothing to find

get_property(_components GLOBAL PROPERTY TAUT_AREAS)
if(TARGET taut_torch)
  list(APPEND _components torch)
endif()
set(TAUT_COMPONENTS ${_components})
set(TAUT_COMPONENT_NEEDS "")
foreach(_component IN LISTS _components)
  install(TARGETS taut_${_component} EXPORT taut-${_component}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT taut-${_component} NAMESPACE taut:: DESTINATION ${_cmake_dir})
  if(IS_DIRECTORY ${PROJECT_SOURCE_DIR}/include/taut/${_component})
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/taut/${_component} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/taut)
  endif()

  get_target_property(_linked taut_${_component} LINK_LIBRARIES)
  set(_parts)
  set(_packages)
  foreach(_library IN LISTS _linked)
    if(_library MATCHES "^\\$<BUILD_INTERFACE:" OR _library STREQUAL taut_options OR _library IN_LIST _plain_libraries)
      continue()
    elseif(DEFINED _package_of_${_library})
      list(APPEND _packages ${_package_of_${_library}})
    elseif(_library MATCHES "^taut::(.+)$" AND CMAKE_MATCH_1 IN_LIST _components)
      list(APPEND _parts ${CMAKE_MATCH_1})
    else()
      message(FATAL_ERROR "taut_${_component} links ${_library}: name its package in cmake/TautInstall.cmake")
    endif()
  endforeach()
  list(REMOVE_DUPLICATES _packages)
  string(APPEND TAUT_COMPONENT_NEEDS "set(_taut_parts_of_${_component} ${_parts})\n"
                                     "set(_taut_packages_of_${_component} ${_packages})\n")
endforeach()

# taut::c of the component infer
install(TARGETS taut_c EXPORT taut-infer LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/taut-config.cmake.in ${PROJECT_BINARY_DIR}/taut-config.cmake
                              INSTALL_DESTINATION ${_cmake_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/taut-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/taut-config.cmake ${PROJECT_BINARY_DIR}/taut-config-version.cmake
        DESTINATION ${_cmake_dir})
