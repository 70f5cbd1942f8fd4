// embed: a program of its own that holds a Python interpreter. `embed SCRIPT ARGS...` does what
// `python SCRIPT ARGS...` does, with two frames of its own above Py_RunMain. Built by build_embed.sh.
#include <Python.h>

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

int main(int argc, char **argv) {
  PyConfig config;
  PyConfig_InitPythonConfig(&config);
  PyStatus status = PyConfig_SetBytesArgv(&config, argc, argv);
  if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
  PyConfig_Clear(&config);
  if (PyStatus_Exception(status)) Py_ExitStatusException(status);
  return host_event_loop();
}
