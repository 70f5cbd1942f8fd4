// curvefit: the C half of the demo, a small optimiser as extensions have them. Python hands it a function to
// minimise; that function calls back into C for the heavy part. The work is fixed, and of its C functions
// evaluate_model does six parts, sum_residuals two and bracket_minimum one.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <time.h>

#define FUNCTION __attribute__((noinline, used, visibility("default")))

enum { EVALUATE_MODEL, SUM_RESIDUALS, BRACKET_MINIMUM, COMPARE_CURVES, FUNCTIONS };
static const char *const names[FUNCTIONS] = {
  "evaluate_model", "sum_residuals", "bracket_minimum", "compare_curves",
};
static uint64_t cpu_used[FUNCTIONS];
static volatile double sink;

static inline uint64_t thread_cpu(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// A polynomial at `rounds` points, inlined into each function that works; timed by the thread's own CPU clock.
static inline __attribute__((always_inline)) double polynomial(int function, uint64_t rounds, double x) {
  uint64_t start = thread_cpu();
  double sum = 0, point = x;
  for (uint64_t i = 0; i < rounds; i++) {
    sum += ((0.3 * point - 1.7) * point + 0.9) * point + 0.2;
    point = point < 2 ? point + 1e-3 : point - 3.9;
    __asm__ volatile("" : "+x"(sum));
  }
  cpu_used[function] += thread_cpu() - start;
  return sum;
}

FUNCTION double evaluate_model(double x) {
  double value = polynomial(EVALUATE_MODEL, 60000, x);
  sink = value;
  return value;
}

FUNCTION double sum_residuals(double x) {
  double value = polynomial(SUM_RESIDUALS, 20000, x) + evaluate_model(x);
  sink = value;
  return (x - 0.75) * (x - 0.75);
}

// residual(x) -> float: what Python's objective calls.
static PyObject *curvefit_residual(PyObject *module, PyObject *argument) {
  double x = PyFloat_AsDouble(argument);
  if (x == -1 && PyErr_Occurred()) return NULL;
  return PyFloat_FromDouble(sum_residuals(x));
}

FUNCTION int call_objective(PyObject *objective, double x, double *value) {
  PyObject *argument = PyFloat_FromDouble(x);
  if (argument == NULL) return -1;
  PyObject *result = PyObject_CallOneArg(objective, argument);
  Py_DECREF(argument);
  if (result == NULL) return -1;
  *value = PyFloat_AsDouble(result);
  Py_DECREF(result);
  return PyErr_Occurred() ? -1 : 0;
}

// Halves the interval by golden section until `steps` are done.
FUNCTION int bracket_minimum(PyObject *objective, double *low, double *high, int steps) {
  const double ratio = 0.6180339887498949;
  for (int step = 0; step < steps; step++) {
    double left = *high - ratio * (*high - *low), right = *low + ratio * (*high - *low), at_left, at_right;
    sink = polynomial(BRACKET_MINIMUM, 20000, left);
    if (call_objective(objective, left, &at_left) || call_objective(objective, right, &at_right)) return -1;
    if (at_left < at_right) *high = right; else *low = left;
  }
  return 0;
}

// minimize(objective, low, high, steps) -> float
static PyObject *curvefit_minimize(PyObject *module, PyObject *arguments) {
  PyObject *objective;
  double low, high;
  int steps;
  if (!PyArg_ParseTuple(arguments, "Oddi", &objective, &low, &high, &steps)) return NULL;
  if (bracket_minimum(objective, &low, &high, steps)) return NULL;
  return PyFloat_FromDouble((low + high) / 2);
}

FUNCTION double compare_curves(double x) {
  double value = polynomial(COMPARE_CURVES, 60000, x);
  sink = value;
  return value;
}

// distance(x) -> float: what the key of Python's sort calls.
static PyObject *curvefit_distance(PyObject *module, PyObject *argument) {
  double x = PyFloat_AsDouble(argument);
  if (x == -1 && PyErr_Occurred()) return NULL;
  return PyFloat_FromDouble(compare_curves(x));
}

// cpu_times() -> {function: seconds}, each measured by itself, without what it calls.
static PyObject *curvefit_cpu_times(PyObject *module, PyObject *nothing) {
  PyObject *times = PyDict_New();
  for (int i = 0; times != NULL && i < FUNCTIONS; i++) {
    PyObject *seconds = PyFloat_FromDouble((double)cpu_used[i] / 1e9);
    if (seconds == NULL || PyDict_SetItemString(times, names[i], seconds)) Py_CLEAR(times);
    Py_XDECREF(seconds);
  }
  return times;
}

static PyMethodDef methods[] = {
  {"residual", curvefit_residual, METH_O, NULL},
  {"minimize", curvefit_minimize, METH_VARARGS, NULL},
  {"distance", curvefit_distance, METH_O, NULL},
  {"cpu_times", curvefit_cpu_times, METH_NOARGS, NULL},
  {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
  PyModuleDef_HEAD_INIT, .m_name = "curvefit", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_curvefit(void) { return PyModule_Create(&definition); }
