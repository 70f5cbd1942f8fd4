/* libbpf, and the two calls that need C: option structures with their size, and variadic printing. */
#ifndef CLIBBPF_H
#define CLIBBPF_H
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* Opens the object; what the verifier says goes to `log`. Null with errno set on failure. */
static inline struct bpf_object *caduceus_open_program(const void *object, size_t size, char *log, size_t log_size) {
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "caduceus", .kernel_log_buf = log,
              .kernel_log_size = log_size, .kernel_log_level = 0);
  libbpf_set_print(NULL);
  return bpf_object__open_mem(object, size, &options);
}
#endif
