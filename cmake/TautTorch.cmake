# LibTorch as it comes in the PyPI wheel: imported target torch.
execute_process(COMMAND ${Python3_EXECUTABLE} -c
"import torch
print(torch.utils.cmake_prefix_path + ';' + torch.__version__.partition('+')[0])"
                OUTPUT_VARIABLE _torch OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE _failed)
if(_failed)
  message(FATAL_ERROR "PyTorch is not installed for ${Python3_EXECUTABLE}; run 'make setup' or set TAUT_TORCH=OFF")
endif()
list(GET _torch 0 TAUT_TORCH_PREFIX)
list(GET _torch 1 TAUT_TORCH_VERSION)
find_package(Torch REQUIRED PATHS ${TAUT_TORCH_PREFIX} NO_DEFAULT_PATH)
get_filename_component(TAUT_TORCH_LIB ${TAUT_TORCH_PREFIX}/../../lib ABSOLUTE)
