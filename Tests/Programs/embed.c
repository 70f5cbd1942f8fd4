// embed: a program of its own that holds a Python interpreter. `embed SCRIPT ARGS...` does what
// `python SCRIPT ARGS...` does, with two frames of its own above Py_RunMain. Built by build_embed.sh.
// `embed --first SCRIPT ARGS...` says `ready`, waits for a line and computes for half a second of CPU time before
// it makes its interpreter.
#include <Python.h>
#include <string.h>
#include <time.h>

#define NOINLINE __attribute__((noinline, used))

static volatile int calls;

NOINLINE int host_run_script(void) {
  int status = Py_RunMain();
  calls++;  // No tail call: this frame must stay.
  return status;
}

NOINLINE int host_event_loop(void) {
  int status = host_run_script();
  calls++;
  return status;
}

NOINLINE void host_compute(void) {
  struct timespec now;
  do {
    for (int i = 0; i < 10000; i++) calls++;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  } while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < 500);
}

int main(int argc, char **argv) {
  if (argc > 2 && strcmp(argv[1], "--first") == 0) {
    char line[16];
    puts("ready");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) return 1;
    host_compute();
    argv[1] = argv[0];
    argv++;
    argc--;
  }
  PyConfig config;
  PyConfig_InitPythonConfig(&config);
  PyStatus status = PyConfig_SetBytesArgv(&config, argc, argv);
  if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
  PyConfig_Clear(&config);
  if (PyStatus_Exception(status)) Py_ExitStatusException(status);
  return host_event_loop();
}
