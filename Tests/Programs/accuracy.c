// accuracy: C functions that measure themselves. Each has a clock of its own: the thread CPU time that it used
// without the functions it called. Built for one interpreter by build_extension.sh.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <setjmp.h>
#include <signal.h>
#include <string.h>

#include "spin.h"

enum label { NEST_OUTER, NEST_MIDDLE, NEST_INNER, LEVEL_1, LEVEL_2, LEVEL_3, LEVEL_4, LABELS };
static const char *const label_names[LABELS] = {
  "acc_outer", "acc_middle", "acc_inner", "acc_level_1", "acc_level_2", "acc_level_3", "acc_level_4",
};
static uint64_t clocks[LABELS];

// 10, 30 and 60 parts of the work in three functions that call each other.
VISIBLE void acc_inner(uint64_t rounds) {
  uint64_t start = thread_cpu();
  work(6 * rounds);
  clocks[NEST_INNER] += thread_cpu() - start;
}

VISIBLE void acc_middle(uint64_t rounds) {
  uint64_t start = thread_cpu();
  work(3 * rounds);
  clocks[NEST_MIDDLE] += thread_cpu() - start;
  acc_inner(rounds);
  sink++;
}

VISIBLE PyObject *acc_outer(PyObject *module, PyObject *argument) {
  uint64_t rounds = PyLong_AsUnsignedLongLong(argument);
  if (PyErr_Occurred()) return NULL;
  uint64_t start = thread_cpu();
  work(rounds);
  clocks[NEST_OUTER] += thread_cpu() - start;
  acc_middle(rounds);
  sink++;
  Py_RETURN_NONE;
}

// level_N(rounds, next): works, then calls the Python function `next`, if there is one, with `rounds`.
#define LEVEL(i) \
  VISIBLE PyObject *acc_level_##i(PyObject *module, PyObject *const *arguments, Py_ssize_t count) { \
    if (count != 2) return PyErr_Format(PyExc_TypeError, "level(rounds, next)"); \
    uint64_t rounds = PyLong_AsUnsignedLongLong(arguments[0]); \
    if (PyErr_Occurred()) return NULL; \
    uint64_t start = thread_cpu(); \
    work(rounds); \
    clocks[LEVEL_##i] += thread_cpu() - start; \
    if (arguments[1] == Py_None) Py_RETURN_NONE; \
    PyObject *result = PyObject_CallOneArg(arguments[1], arguments[0]); \
    sink++; \
    return result; \
  }
LEVEL(1) LEVEL(2) LEVEL(3) LEVEL(4)

// released(nanoseconds) -> nanoseconds used, without the GIL.
VISIBLE PyObject *acc_released(PyObject *module, PyObject *argument) {
  uint64_t nanoseconds = PyLong_AsUnsignedLongLong(argument), used;
  if (PyErr_Occurred()) return NULL;
  Py_BEGIN_ALLOW_THREADS
  used = work_for(nanoseconds);
  Py_END_ALLOW_THREADS
  return PyLong_FromUnsignedLongLong(used);
}

// stack(frames, rounds): `frames` C functions deep, each with at least 1024 bytes of stack, works at the bottom.
VISIBLE uint64_t acc_deep(uint64_t frames, uint64_t rounds) {
  volatile char room[1024];
  room[0] = (char)frames;
  if (frames > 1) {
    uint64_t result = acc_deep(frames - 1, rounds);
    return result + (uint64_t)room[0];
  }
  work(rounds);
  return (uint64_t)room[0];
}

static PyObject *stack(PyObject *module, PyObject *arguments) {
  unsigned long long frames, rounds;
  if (!PyArg_ParseTuple(arguments, "KK", &frames, &rounds)) return NULL;
  return PyLong_FromUnsignedLongLong(acc_deep(frames, rounds));
}

// signalled(rounds): raises SIGUSR2, whose C handler works.
static volatile uint64_t handler_rounds;

VISIBLE void acc_handler(int number) { work(handler_rounds); }

VISIBLE PyObject *acc_signalled(PyObject *module, PyObject *argument) {
  handler_rounds = PyLong_AsUnsignedLongLong(argument);
  if (PyErr_Occurred()) return NULL;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = acc_handler;
  sigaction(SIGUSR2, &action, NULL);
  raise(SIGUSR2);
  sink++;
  Py_RETURN_NONE;
}

// interrupted(rounds): a write to a protected page (SIGSEGV) in the middle of this function; the handler works on
// the alternate signal stack and jumps back here.
static volatile char *volatile nowhere;
static sigjmp_buf back;
static char alternate[1 << 16];

VISIBLE void acc_fault_handler(int number) {
  work(handler_rounds);
  siglongjmp(back, 1);
}

VISIBLE PyObject *acc_interrupted(PyObject *module, PyObject *argument) {
  handler_rounds = PyLong_AsUnsignedLongLong(argument);
  if (PyErr_Occurred()) return NULL;
  struct sigaction action, before;
  stack_t room = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;
  memset(&action, 0, sizeof action);
  action.sa_handler = acc_fault_handler;
  action.sa_flags = SA_ONSTACK;
  sigaltstack(&room, &old);
  sigaction(SIGSEGV, &action, &before);
  if (sigsetjmp(back, 1) == 0) *nowhere = 0;
  sigaction(SIGSEGV, &before, NULL);
  sigaltstack(&old, NULL);
  Py_RETURN_NONE;
}

// clocks() -> {name: nanoseconds}
static PyObject *read_clocks(PyObject *module, PyObject *unused) {
  PyObject *result = PyDict_New();
  for (int i = 0; result && i < LABELS; i++) {
    PyObject *value = PyLong_FromUnsignedLongLong(clocks[i]);
    if (!value || PyDict_SetItemString(result, label_names[i], value) < 0) Py_CLEAR(result);
    Py_XDECREF(value);
  }
  return result;
}

static PyMethodDef methods[] = {
  {"outer", acc_outer, METH_O, NULL},
  {"level_1", (PyCFunction)(void (*)(void))acc_level_1, METH_FASTCALL, NULL},
  {"level_2", (PyCFunction)(void (*)(void))acc_level_2, METH_FASTCALL, NULL},
  {"level_3", (PyCFunction)(void (*)(void))acc_level_3, METH_FASTCALL, NULL},
  {"level_4", (PyCFunction)(void (*)(void))acc_level_4, METH_FASTCALL, NULL},
  {"released", acc_released, METH_O, NULL},
  {"stack", stack, METH_VARARGS, NULL},
  {"signalled", acc_signalled, METH_O, NULL},
  {"interrupted", acc_interrupted, METH_O, NULL},
  {"clocks", read_clocks, METH_NOARGS, NULL},
  {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
  PyModuleDef_HEAD_INIT, .m_name = "accuracy", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_accuracy(void) { return PyModule_Create(&definition); }
