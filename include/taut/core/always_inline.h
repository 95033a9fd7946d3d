#pragma once

/// For small functions that kernels call: into a function for another instruction set, GCC inlines
/// only what it must.
#define TAUT_INLINE inline __attribute__((always_inline))
