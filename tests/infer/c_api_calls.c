/* The C API from C11: every function once, as a program in C would call it. */
#include <string.h>
#include <taut/infer/c_api.h>

#include "infer/c_api_calls.h"

_Static_assert(TAUT_OK == 0, "TAUT_OK is 0");

#define CHECK(condition)  \
  do {                    \
    if (!(condition)) {   \
      failure = __LINE__; \
      goto end;           \
    }                     \
  } while (0)

int taut_c_calls(const char* path, const float* x, size_t x_count, float* y, size_t y_count) {
  int failure = 0;
  taut_model* model = NULL;
  taut_session* session = NULL;
  taut_tensor input;
  taut_tensor output;
  CHECK(taut_c_api_version() == TAUT_C_API_VERSION);
  CHECK(taut_model_open("/nowhere.onnx", NULL, 0, &model) == TAUT_NOT_FOUND);
  CHECK(model == NULL);
  CHECK(strstr(taut_last_error(), "/nowhere.onnx") != NULL);
  CHECK(taut_model_open(path, NULL, 0, &model) == TAUT_OK);
  CHECK(taut_model_input_count(model) == 1 && taut_model_output_count(model) == 1);
  CHECK(taut_model_input(model, 0, &input) == TAUT_OK);
  CHECK(taut_model_output(model, 0, &output) == TAUT_OK);
  CHECK(input.kind == TAUT_VALUES && input.rank >= 2 && input.dimensions[0] == -1);
  CHECK(taut_session_open(model, 2, &session) == TAUT_OK);
  taut_model_close(model); /* the session keeps what it needs */
  model = NULL;
  CHECK(taut_session_set_ids(session, "x", NULL, 0, NULL) == TAUT_NOT_FOUND);
  CHECK(taut_session_set_values(session, "x", x, x_count) == TAUT_OK);
  CHECK(taut_session_run(session, 1) == TAUT_OK);
  CHECK(taut_session_get(session, "y", y, y_count) == TAUT_OK);
end:
  taut_session_close(session);
  taut_model_close(model);
  return failure;
}
