# Arrow and Parquet C++ as they come in the pyarrow wheel: imported targets taut_arrow, taut_parquet.
execute_process(COMMAND ${Python3_EXECUTABLE} -c
"import pyarrow, os
pyarrow.create_library_symlinks()
print(pyarrow.get_include() + ';' + pyarrow.get_library_dirs()[0] + ';' + pyarrow.__version__)"
                OUTPUT_VARIABLE _arrow OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE _failed)
if(_failed)
  message(FATAL_ERROR "pyarrow is not installed for ${Python3_EXECUTABLE}; run 'make setup' or set TAUT_ARROW=OFF")
endif()
list(GET _arrow 0 TAUT_ARROW_INCLUDE)
list(GET _arrow 1 TAUT_ARROW_LIB)
list(GET _arrow 2 TAUT_ARROW_VERSION)
if(TAUT_ARROW_VERSION VERSION_LESS 21)
  message(FATAL_ERROR "pyarrow ${TAUT_ARROW_VERSION} is too old: 21 or newer is needed")
endif()
foreach(_lib arrow parquet arrow_compute)
  if(EXISTS ${TAUT_ARROW_LIB}/lib${_lib}.so)
    add_library(taut_lib${_lib} SHARED IMPORTED)
    set_target_properties(taut_lib${_lib} PROPERTIES IMPORTED_LOCATION ${TAUT_ARROW_LIB}/lib${_lib}.so
                          INTERFACE_INCLUDE_DIRECTORIES ${TAUT_ARROW_INCLUDE})
  endif()
endforeach()
