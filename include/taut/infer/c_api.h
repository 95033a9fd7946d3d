/* The engine for C, and for every language that calls C: a network from an ONNX file or a package
 * is opened once, sessions run it. docs/infer.md, "From C", has an example.
 *
 * Calls that can fail return a status and leave what they would have written as it was;
 * taut_last_error() then says what is wrong, where, and how to mend it. No exception leaves the
 * library, and nothing is printed.
 *
 * Threads: a model may be used by many threads at once. A session is one thread's at a time;
 * sessions of one model run side by side, each with threads and memory of its own, and share the
 * weights.
 *
 * Versions: within one TAUT_C_API_VERSION functions and statuses are added, none is changed or
 * removed.
 */
#ifndef TAUT_INFER_C_API_H
#define TAUT_INFER_C_API_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define TAUT_C_FUNCTION __attribute__((visibility("default")))
#else
#define TAUT_C_FUNCTION
#endif

/* NOLINTBEGIN(readability-identifier-naming): names as C has them */
#ifdef __cplusplus
extern "C" {
#endif

/* What this header declares. */
#define TAUT_C_API_VERSION 1

/* The version that the library was built with: it must be the header's. */
TAUT_C_FUNCTION int taut_c_api_version(void);

/* TAUT_OK is 0. All but TAUT_IO, TAUT_OUT_OF_MEMORY and TAUT_INTERNAL the caller can mend. */
typedef enum taut_status {
  TAUT_OK = 0,
  TAUT_INVALID_ARGUMENT = 1, /* null, out of range, a size that differs */
  TAUT_CONFIG = 2,           /* a dimension that is given twice, or that nothing takes */
  TAUT_DATA = 3,             /* a dimension without a size, weights that are missing */
  TAUT_NOT_FOUND = 4,        /* a file or name that is not there */
  TAUT_FORMAT = 5,           /* a file that is not what it should be */
  TAUT_BUDGET = 6,           /* something larger than the memory that there is */
  TAUT_UNSUPPORTED =
      7,       /* a network that the engine does not compute: the message names every node */
  TAUT_IO = 8, /* the operating system refused */
  TAUT_OUT_OF_MEMORY = 9,
  TAUT_INTERNAL = 10 /* a mistake of the library */
} taut_status;

/* Why this thread's last call that failed did so; "" before the first. Valid until this thread's
 * next call that fails. */
TAUT_C_FUNCTION const char* taut_last_error(void);

/* A network with its values, ready to run. Never changes. */
typedef struct taut_model taut_model;
/* What one run after another needs: threads, inputs, memory for results. */
typedef struct taut_session taut_session;

/* A size for a dimension that an ONNX file leaves open: by name ("side"), or by input and place
 * ("x.2"). The batch needs none. */
typedef struct taut_dimension {
  const char* name;
  int64_t size;
} taut_dimension;

/* Opens an ONNX file or a package that `taut export` wrote (told apart by their first bytes). The
 * file is mapped: it must not be changed while the model is open. dimensions: count of them, null
 * for none. */
TAUT_C_FUNCTION taut_status taut_model_open(const char* path, const taut_dimension* dimensions,
                                            size_t count, taut_model** model);

/* The same of an ONNX file or a package in memory, which is copied. Weights beside an ONNX file are
 * not read. */
TAUT_C_FUNCTION taut_status taut_model_open_bytes(const void* bytes, size_t size,
                                                  const taut_dimension* dimensions, size_t count,
                                                  taut_model** model);

/* Sessions that are open keep what they need. Null is allowed. */
TAUT_C_FUNCTION void taut_model_close(taut_model* model);

typedef enum taut_kind {
  TAUT_VALUES = 0, /* fp32 */
  TAUT_IDS = 1     /* of an embedding table: bags of ids, see taut_session_set_ids */
} taut_kind;

#define TAUT_MOST_DIMENSIONS 8

/* An input or output. */
typedef struct taut_tensor {
  const char* name; /* lives as long as the model */
  taut_kind kind;
  int rank;
  /* The first is the batch: -1, any size. Of TAUT_IDS nothing follows. */
  int64_t dimensions[TAUT_MOST_DIMENSIONS];
} taut_tensor;

/* Of an ONNX file: its one input and output, laid as there. Of a package: "values" [batch, height,
 * width, channels] or [batch, features], normalized or scaled, if the network reads any; then a
 * table each, by its name; the output "logits". */
TAUT_C_FUNCTION size_t taut_model_input_count(const taut_model* model);
TAUT_C_FUNCTION size_t taut_model_output_count(const taut_model* model);
/* TAUT_INVALID_ARGUMENT for an index that is none. */
TAUT_C_FUNCTION taut_status taut_model_input(const taut_model* model, size_t index,
                                             taut_tensor* tensor);
TAUT_C_FUNCTION taut_status taut_model_output(const taut_model* model, size_t index,
                                              taut_tensor* tensor);

/* threads: 1 to 1024; 0: one for each processor that the process may use. Results do not depend on
 * it. */
TAUT_C_FUNCTION taut_status taut_session_open(const taut_model* model, int threads,
                                              taut_session** session);
/* Null is allowed. */
TAUT_C_FUNCTION void taut_session_close(taut_session* session);

/* Names the values of the next runs: count floats, which are not copied and must stay until the
 * last of these runs. TAUT_NOT_FOUND for a name that is no input of this kind. */
TAUT_C_FUNCTION taut_status taut_session_set_values(taut_session* session, const char* name,
                                                    const float* values, size_t count);
/* The same of a table's ids. offsets [batch + 1]: example b has ids [offsets[b], offsets[b + 1]),
 * whose rows are added; null: one id an example. */
TAUT_C_FUNCTION taut_status taut_session_set_ids(taut_session* session, const char* name,
                                                 const uint64_t* ids, size_t count,
                                                 const int64_t* offsets);

/* Runs a batch of 0 or more examples. TAUT_INVALID_ARGUMENT for an input that is not set, or of
 * another size. The same bits for any number of threads and any cut into batches. What is no number
 * is passed on. */
TAUT_C_FUNCTION taut_status taut_session_run(taut_session* session, int64_t batch);

/* Copies what the last run gave: batch * (all other dimensions) floats. Of an ONNX file that ends
 * in a Softmax, LogSoftmax or Sigmoid that is done, too; packages give logits. */
TAUT_C_FUNCTION taut_status taut_session_get(const taut_session* session, const char* name,
                                             float* values, size_t count);

#ifdef __cplusplus
}
#endif
/* NOLINTEND(readability-identifier-naming) */

#endif
