// faults: brings the interpreter's own structures into states that a profiler must notice, for as long as a C
// function spins, and puts them back. The GIL is held meanwhile, so that nobody else sees them.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <sys/mman.h>

#include "spin.h"

// Include/internal/pycore_frame.h: PyFrameObject.f_frame, and f_code (f_executable) and previous in words.
#define OBJECT_FRAME 3
#if PY_VERSION_HEX < 0x030c0000
#define FRAME_CODE 4
#define FRAME_PREVIOUS 6
#else
#define FRAME_CODE 0
#define FRAME_PREVIOUS 1
#endif

static uint64_t *interpreter_frame(PyObject *frame) { return ((uint64_t **)frame)[OBJECT_FRAME]; }

static int parse(PyObject *arguments, PyObject **frame, unsigned long long *nanoseconds) {
  return PyArg_ParseTuple(arguments, "O!K", &PyFrame_Type, frame, nanoseconds);
}

// hidden(frame, nanoseconds): the page with the interpreter's frame cannot be read.
VISIBLE PyObject *fault_hidden(PyObject *module, PyObject *arguments) {
  PyObject *frame;
  unsigned long long nanoseconds;
  if (!parse(arguments, &frame, &nanoseconds)) return NULL;
  void *page = (void *)((uintptr_t)interpreter_frame(frame) & ~(uintptr_t)4095);
  if (mprotect(page, 8192, PROT_NONE)) return PyErr_SetFromErrno(PyExc_OSError);
  work_for(nanoseconds);
  mprotect(page, 8192, PROT_READ | PROT_WRITE);
  Py_RETURN_NONE;
}

// swapped(frame, nanoseconds): the frame's code pointer leads to something that is no code object.
VISIBLE PyObject *fault_swapped(PyObject *module, PyObject *arguments) {
  PyObject *frame;
  unsigned long long nanoseconds;
  if (!parse(arguments, &frame, &nanoseconds)) return NULL;
  uint64_t *word = interpreter_frame(frame) + FRAME_CODE, before = *word;
  *word = (uint64_t)(uintptr_t)Py_None;
  work_for(nanoseconds);
  *word = before;
  Py_RETURN_NONE;
}

// unlinked(frame, nanoseconds): the frame has lost its caller, as a generator's has while it is being left.
VISIBLE PyObject *fault_unlinked(PyObject *module, PyObject *arguments) {
  PyObject *frame;
  unsigned long long nanoseconds;
  if (!parse(arguments, &frame, &nanoseconds)) return NULL;
  uint64_t *word = interpreter_frame(frame) + FRAME_PREVIOUS, before = *word;
  *word = 0;
  work_for(nanoseconds);
  *word = before;
  Py_RETURN_NONE;
}

// misplaced(frame, nanoseconds): the frame's caller is left out by linking the frame to its caller's caller.
VISIBLE PyObject *fault_misplaced(PyObject *module, PyObject *arguments) {
  PyObject *frame;
  unsigned long long nanoseconds;
  if (!parse(arguments, &frame, &nanoseconds)) return NULL;
  uint64_t *word = interpreter_frame(frame) + FRAME_PREVIOUS, before = *word;
  *word = before ? ((uint64_t *)before)[FRAME_PREVIOUS] : 0;
  work_for(nanoseconds);
  *word = before;
  Py_RETURN_NONE;
}

// crowded(count, nanoseconds): so many thread states, of no thread, that they cannot all be looked at.
static PyObject *crowded(PyObject *module, PyObject *arguments) {
  unsigned long long count, nanoseconds;
  if (!PyArg_ParseTuple(arguments, "KK", &count, &nanoseconds)) return NULL;
  PyThreadState **states = PyMem_Calloc(count, sizeof *states);
  if (!states) return PyErr_NoMemory();
  PyInterpreterState *interpreter = PyThreadState_GetInterpreter(PyThreadState_Get());
  for (unsigned long long i = 0; i < count; i++) states[i] = PyThreadState_New(interpreter);
  PyObject *situations = PyImport_ImportModule("situations");
  PyObject *used = situations ? PyObject_CallMethod(situations, "native_threads", "KK", 1ull, nanoseconds) : NULL;
  Py_XDECREF(situations);
  for (unsigned long long i = 0; i < count; i++) {
    PyThreadState_Clear(states[i]);
    PyThreadState_Delete(states[i]);
  }
  PyMem_Free(states);
  return used;
}

// unknown(nanoseconds): machine code in memory of no file, without unwind information and frame pointer, that has
// moved the stack pointer: sub rsp,4104; call rsi(rdi); add rsp,4104; ret.
VISIBLE void fault_spin(uint64_t nanoseconds) { work_for(nanoseconds); sink++; }

static PyObject *unknown(PyObject *module, PyObject *argument) {
  static const unsigned char code[] = {0x48, 0x81, 0xec, 0x08, 0x10, 0, 0, 0xff, 0xd6, 0x48, 0x81, 0xc4, 0x08, 0x10, 0, 0, 0xc3};
  uint64_t nanoseconds = PyLong_AsUnsignedLongLong(argument);
  if (PyErr_Occurred()) return NULL;
  unsigned char *memory =
    mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return PyErr_SetFromErrno(PyExc_OSError);
  __builtin_memcpy(memory, code, sizeof code);
  ((void (*)(uint64_t, void (*)(uint64_t)))(void *)memory)(nanoseconds, fault_spin);
  munmap(memory, 4096);
  Py_RETURN_NONE;
}

// kernel(rounds): works in machine code like a hand-written kernel of OpenBLAS: no unwind information, the stack
// pointer moved by 28 KiB, its old value in rbx. push rbx; mov rbx,rsp; sub rsp,28800; 1: dec rdi; jnz 1b;
// mov rsp,rbx; pop rbx; ret.
VISIBLE PyObject *fault_kernel(PyObject *module, PyObject *argument) {
  static const unsigned char code[] = {0x53, 0x48, 0x89, 0xe3, 0x48, 0x81, 0xec, 0x80, 0x70, 0, 0, 0x48, 0xff, 0xcf, 0x75, 0xfb, 0x48, 0x89, 0xdc, 0x5b, 0xc3};
  uint64_t rounds = PyLong_AsUnsignedLongLong(argument);
  if (PyErr_Occurred()) return NULL;
  unsigned char *memory =
    mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return PyErr_SetFromErrno(PyExc_OSError);
  __builtin_memcpy(memory, code, sizeof code);
  ((void (*)(uint64_t))(void *)memory)(rounds);
  munmap(memory, 4096);
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
  {"hidden", fault_hidden, METH_VARARGS, NULL},
  {"swapped", fault_swapped, METH_VARARGS, NULL},
  {"unlinked", fault_unlinked, METH_VARARGS, NULL},
  {"misplaced", fault_misplaced, METH_VARARGS, NULL},
  {"crowded", crowded, METH_VARARGS, NULL},
  {"unknown", unknown, METH_O, NULL},
  {"kernel", fault_kernel, METH_O, NULL},
  {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
  PyModuleDef_HEAD_INIT, .m_name = "faults", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_faults(void) { return PyModule_Create(&definition); }
