# LibTorch as it comes in the PyPI wheel: imported target torch.
execute_process(COMMAND ${Python3_EXECUTABLE} -c "import torch; print(torch.utils.cmake_prefix_path)"
                OUTPUT_VARIABLE TAUT_TORCH_PREFIX OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE _failed)
if(_failed)
  message(FATAL_ERROR "PyTorch is not installed for ${Python3_EXECUTABLE}; run 'make setup' or set TAUT_TORCH=OFF")
endif()
find_package(Torch REQUIRED PATHS ${TAUT_TORCH_PREFIX} NO_DEFAULT_PATH)
get_filename_component(TAUT_TORCH_LIB ${TAUT_TORCH_PREFIX}/../../lib ABSOLUTE)
