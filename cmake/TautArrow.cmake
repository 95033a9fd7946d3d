# Arrow and Parquet C++ as they come in the pyarrow wheel: imported targets taut_libarrow, taut_libparquet.
# The versioned files are named in full, so nothing is written into the wheel; their folder goes into the
# run path of what is built here, so programs run from the build tree as they are.
execute_process(COMMAND ${Python3_EXECUTABLE} -c
"import pyarrow
print(pyarrow.get_include() + ';' + pyarrow.get_library_dirs()[0] + ';' + pyarrow.__version__)"
                OUTPUT_VARIABLE _arrow OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE _failed)
if(_failed)
  message(FATAL_ERROR "pyarrow is not installed for ${Python3_EXECUTABLE}; run 'make setup' or set TAUT_ARROW=OFF")
endif()
list(GET _arrow 0 TAUT_ARROW_INCLUDE)
list(GET _arrow 1 TAUT_ARROW_LIB)
list(GET _arrow 2 TAUT_ARROW_VERSION)
if(TAUT_ARROW_VERSION VERSION_LESS 24)
  message(FATAL_ERROR "pyarrow ${TAUT_ARROW_VERSION} is too old: 24 or newer is needed")
endif()
foreach(_lib arrow parquet)
  file(GLOB _versioned ${TAUT_ARROW_LIB}/lib${_lib}.so.*)
  list(FILTER _versioned INCLUDE REGEX "lib${_lib}\\.so\\.[0-9]+$")
  if(NOT _versioned)
    message(FATAL_ERROR "pyarrow ${TAUT_ARROW_VERSION} carries no lib${_lib}.so.* in ${TAUT_ARROW_LIB}")
  endif()
  list(GET _versioned 0 _versioned)
  add_library(taut_lib${_lib} SHARED IMPORTED GLOBAL)
  set_target_properties(taut_lib${_lib} PROPERTIES IMPORTED_LOCATION ${_versioned}
                        INTERFACE_INCLUDE_DIRECTORIES ${TAUT_ARROW_INCLUDE})
endforeach()
