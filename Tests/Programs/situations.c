// situations: the C half of the programs in this folder. Each function spins in itself, so that the innermost
// symbol of a sample taken in it is its own; a duration is thread CPU time, never wall time.
// Built for one interpreter by build_extension.sh.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>

#include "spin.h"

// spin(nanoseconds) -> nanoseconds used, holding the GIL.
VISIBLE PyObject *sit_spin(PyObject *module, PyObject *argument) {
  uint64_t nanoseconds = PyLong_AsUnsignedLongLong(argument);
  if (PyErr_Occurred()) return NULL;
  return PyLong_FromUnsignedLongLong(work_for(nanoseconds));
}

// spin_released(nanoseconds) -> nanoseconds used, without the GIL.
VISIBLE PyObject *sit_spin_released(PyObject *module, PyObject *argument) {
  uint64_t nanoseconds = PyLong_AsUnsignedLongLong(argument), used;
  if (PyErr_Occurred()) return NULL;
  Py_BEGIN_ALLOW_THREADS
  used = work_for(nanoseconds);
  Py_END_ALLOW_THREADS
  return PyLong_FromUnsignedLongLong(used);
}

// work(rounds): a fixed amount of work instead of a duration.
VISIBLE PyObject *sit_work(PyObject *module, PyObject *argument) {
  uint64_t rounds = PyLong_AsUnsignedLongLong(argument);
  if (PyErr_Occurred()) return NULL;
  work(rounds);
  Py_RETURN_NONE;
}

// hop(function, argument) -> function(argument): one C frame between two Python frames.
VISIBLE PyObject *sit_hop(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  if (count != 2) {
    PyErr_SetString(PyExc_TypeError, "hop(function, argument)");
    return NULL;
  }
  PyObject *result = PyObject_CallOneArg(arguments[0], arguments[1]);
  sink++;  // No tail call: this frame must stay.
  return result;
}

// lanes[i](rounds): the same work under different symbols, so that a sample tells which was called.
#define LANE(i) \
  VISIBLE PyObject *sit_lane_##i(PyObject *module, PyObject *argument) { \
    uint64_t rounds = PyLong_AsUnsignedLongLong(argument); \
    if (PyErr_Occurred()) return NULL; \
    work(rounds); \
    sink += i; \
    Py_RETURN_NONE; \
  }
LANE(0) LANE(1) LANE(2) LANE(3) LANE(4) LANE(5) LANE(6) LANE(7)

// Threads that Python never hears of.
struct native_thread {
  uint64_t nanoseconds, used;
};

VISIBLE void *sit_native_thread(void *argument) {
  struct native_thread *thread = argument;
  uint64_t start = thread_cpu();
  work_for(thread->nanoseconds);
  thread->used = thread_cpu() - start;
  return NULL;
}

// native_threads(count, nanoseconds) -> nanoseconds used by all, one thread after another.
static PyObject *native_threads(PyObject *module, PyObject *arguments) {
  unsigned long long count, nanoseconds, used = 0;
  if (!PyArg_ParseTuple(arguments, "KK", &count, &nanoseconds)) return NULL;
  int error = 0;
  Py_BEGIN_ALLOW_THREADS
  for (unsigned long long i = 0; i < count && error == 0; i++) {
    struct native_thread thread = {.nanoseconds = nanoseconds};
    pthread_t id;
    error = pthread_create(&id, NULL, sit_native_thread, &thread);
    if (error == 0) error = pthread_join(id, NULL);
    used += thread.used;
  }
  Py_END_ALLOW_THREADS
  if (error != 0) {
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
  }
  return PyLong_FromUnsignedLongLong(used);
}

static PyMethodDef methods[] = {
  {"spin", sit_spin, METH_O, NULL},
  {"spin_released", sit_spin_released, METH_O, NULL},
  {"work", sit_work, METH_O, NULL},
  {"hop", (PyCFunction)(void (*)(void))sit_hop, METH_FASTCALL, NULL},
  {"lane_0", sit_lane_0, METH_O, NULL},
  {"lane_1", sit_lane_1, METH_O, NULL},
  {"lane_2", sit_lane_2, METH_O, NULL},
  {"lane_3", sit_lane_3, METH_O, NULL},
  {"lane_4", sit_lane_4, METH_O, NULL},
  {"lane_5", sit_lane_5, METH_O, NULL},
  {"lane_6", sit_lane_6, METH_O, NULL},
  {"lane_7", sit_lane_7, METH_O, NULL},
  {"native_threads", native_threads, METH_VARARGS, NULL},
  {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
  PyModuleDef_HEAD_INIT, .m_name = "situations", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_situations(void) { return PyModule_Create(&definition); }
