/* What c_api_calls.c does, for the test in C++. */
#ifndef TAUT_TESTS_INFER_C_API_CALLS_H
#define TAUT_TESTS_INFER_C_API_CALLS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs the model at path, of an input x and an output y, for one example. Returns 0, or the line of
 * what went otherwise than it should. */
int taut_c_calls(const char* path, const float* x, size_t x_count, float* y, size_t y_count);

#ifdef __cplusplus
}
#endif

#endif
