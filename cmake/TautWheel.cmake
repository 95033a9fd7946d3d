# What the Python wheel holds beside python/taut: the programs, the library of operators, and what they were built for.
# A component of its own, so that `cmake --install` leaves it out. pip (scikit-build-core) installs it alone, and so
# does `make wheel`, from the build that is there already (TAUT_WHEEL_FROM).
function(taut_wheel_target target folder rpath)
  install(TARGETS ${target} RUNTIME DESTINATION ${folder} COMPONENT wheel EXCLUDE_FROM_ALL
                            LIBRARY DESTINATION ${folder} COMPONENT wheel EXCLUDE_FROM_ALL)
  # PyTorch and pyarrow lie beside the package, wherever that is.
  install(CODE "file(RPATH_SET FILE \"\${CMAKE_INSTALL_PREFIX}/${folder}/$<TARGET_FILE_NAME:${target}>\"
     NEW_RPATH [[${rpath}]])" COMPONENT wheel EXCLUDE_FROM_ALL)
endfunction()

file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/lib/taut_built_for.json CONTENT
     "{\"torch\": \"@TAUT_TORCH_VERSION@\", \"pyarrow\": \"@TAUT_ARROW_VERSION@\"}\n" @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lib/taut_built_for.json DESTINATION taut COMPONENT wheel EXCLUDE_FROM_ALL)
taut_wheel_target(taut taut/bin "$ORIGIN/../../pyarrow")
taut_wheel_target(taut-torch taut/bin "$ORIGIN/../../torch/lib:$ORIGIN/../../pyarrow")
taut_wheel_target(taut_torch taut "$ORIGIN/../torch/lib")
add_custom_target(wheel DEPENDS taut taut-torch taut_torch)
