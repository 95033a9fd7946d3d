#pragma once

/// For small functions that kernels call: into a function for another instruction set, GCC inlines
/// only what it must. And for those that do nothing but ask for memory ahead (__builtin_prefetch):
/// GCC takes them for functions without effect and drops the calls that it has not inlined first.
#define TAUT_INLINE inline __attribute__((always_inline))
