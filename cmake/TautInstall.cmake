# make install and find_package(taut): the LibTorch-free areas as static libraries with their headers.
include(CMakePackageConfigHelpers)
get_property(_areas GLOBAL PROPERTY TAUT_AREAS)
set(_installed)
foreach(_area IN LISTS _areas)
  if(_area IN_LIST TAUT_INSTALLED_AREAS)
    list(APPEND _installed taut_${_area})
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/taut/${_area} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/taut)
  endif()
endforeach()
install(TARGETS ${_installed} EXPORT taut-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT taut-targets NAMESPACE taut:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/taut)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/taut-config.cmake.in ${PROJECT_BINARY_DIR}/taut-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/taut)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/taut-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/taut-config.cmake ${PROJECT_BINARY_DIR}/taut-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/taut)
