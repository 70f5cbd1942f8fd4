/* The C++ runtime's demangler (Itanium C++ ABI, <cxxabi.h>), which has no C header of its own. */
#ifndef CDEMANGLE_H
#define CDEMANGLE_H
#include <stddef.h>

/* A NUL-terminated name from malloc, or NULL; status 0 is success. */
char *__cxa_demangle(const char *mangled, char *buffer, size_t *length, int *status);
#endif
