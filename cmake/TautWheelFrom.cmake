# The wheel from another build folder: its targets are brought up to date there, nothing is compiled a second time.
add_custom_target(wheel COMMAND ${CMAKE_COMMAND} --build ${TAUT_WHEEL_FROM} --target wheel USES_TERMINAL)
install(CODE "execute_process(
  COMMAND ${CMAKE_COMMAND} --install [[${TAUT_WHEEL_FROM}]] --prefix \${CMAKE_INSTALL_PREFIX} --component wheel --strip
  COMMAND_ERROR_IS_FATAL ANY)" COMPONENT wheel)
