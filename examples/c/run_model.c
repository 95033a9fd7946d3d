/* Runs an ONNX file of one input on zeros: run_model MODEL.onnx */
#include <stdio.h>
#include <stdlib.h>
#include <taut/infer/c_api.h>

static void check(taut_status status) {
  if (status == TAUT_OK) return;
  fprintf(stderr, "error: %s\n", taut_last_error());
  exit(1);
}

static size_t example_size(const taut_tensor* tensor) {
  size_t size = 1;
  for (int d = 1; d < tensor->rank; ++d) size *= (size_t)tensor->dimensions[d];
  return size;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  taut_model* model = NULL;
  taut_session* session = NULL;
  taut_tensor input, output;
  check(taut_model_open(argv[1], NULL, 0, &model));
  check(taut_model_input(model, 0, &input));
  check(taut_model_output(model, 0, &output));
  const size_t read = example_size(&input), written = example_size(&output);
  float* x = calloc(read, sizeof *x);
  float* y = calloc(written, sizeof *y);
  if (x == NULL || y == NULL) return 1;
  check(taut_session_open(model, 1, &session));
  check(taut_session_set_values(session, input.name, x, read));
  check(taut_session_run(session, 1));
  check(taut_session_get(session, output.name, y, written));
  for (size_t i = 0; i < written; ++i) printf("%g\n", y[i]);
  taut_session_close(session);
  taut_model_close(model);
  free(x);
  free(y);
  return 0;
}
