// What real hosts do to threads, thread states and stacks, each in its smallest form. Every function that a stack may show
// has a frame of its own, so that the legal stacks of each situation can be written down (in_the_wild.py).
#define _GNU_SOURCE
#include <Python.h>

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "spin.h"

// After the last call of a function: it must not become a jump.
#define KEEP_FRAME __asm__ volatile("")

VISIBLE void spin_leaf(uint64_t microseconds) {
  work_for(microseconds * 1000);
  KEEP_FRAME;
}
VISIBLE void spin_middle(uint64_t microseconds) {
  spin_leaf(microseconds);
  KEEP_FRAME;
}
VISIBLE PyObject *call_python(PyObject *function) {
  PyObject *result = PyObject_CallNoArgs(function);
  if (!result) PyErr_WriteUnraisable(function);
  KEEP_FRAME;
  return result;
}
INLINE void call_and_drop(PyObject *function) { Py_XDECREF(call_python(function)); }

static PyObject *spin(PyObject *self, PyObject *microseconds) {
  spin_middle(PyLong_AsUnsignedLong(microseconds));
  Py_RETURN_NONE;
}
static PyObject *spin_unlocked(PyObject *self, PyObject *microseconds) {
  uint64_t duration = PyLong_AsUnsignedLong(microseconds);
  Py_BEGIN_ALLOW_THREADS
  spin_middle(duration);
  Py_END_ALLOW_THREADS
  Py_RETURN_NONE;
}
static PyObject *call(PyObject *self, PyObject *function) { return call_python(function); }

// Thread states.

struct loan {
  PyThreadState *state;
  PyObject *function;
  uint64_t native;
  int times;
};

VISIBLE void *borrower(void *argument) {
  struct loan *loan = argument;
  PyEval_RestoreThread(loan->state);
  call_and_drop(loan->function);
  loan->state = PyEval_SaveThread();
  return 0;
}

// The calling thread's own state, used by a new thread.
static PyObject *lend(PyObject *self, PyObject *function) {
  struct loan loan = {PyEval_SaveThread(), function, 0, 0};
  pthread_t thread;
  pthread_create(&thread, 0, borrower, &loan);
  pthread_join(thread, 0);
  PyEval_RestoreThread(loan.state);
  Py_RETURN_NONE;
}

VISIBLE void *pool_thread(void *argument) {
  struct loan *loan = argument;
  for (int i = 0; i < loan->times; i++) {
    PyEval_RestoreThread(loan->state);
    call_and_drop(loan->function);
    loan->state = PyEval_SaveThread();
    spin_middle(loan->native);
  }
  return 0;
}

// A state that this thread makes and another one uses.
static PyObject *pool(PyObject *self, PyObject *arguments) {
  struct loan loan = {0};
  pthread_t thread;
  if (!PyArg_ParseTuple(arguments, "Oki", &loan.function, &loan.native, &loan.times)) return 0;
  PyThreadState *made = loan.state = PyThreadState_New(PyInterpreterState_Get());
  Py_BEGIN_ALLOW_THREADS
  pthread_create(&thread, 0, pool_thread, &loan);
  pthread_join(thread, 0);
  Py_END_ALLOW_THREADS
  PyThreadState_Clear(made);
  PyThreadState_Delete(made);
  Py_RETURN_NONE;
}

// A second state on this very stack, inside of the first one's frames.
VISIBLE PyObject *nested_state(PyObject *self, PyObject *function) {
  PyThreadState *outer = PyThreadState_Get(), *inner = PyThreadState_New(PyInterpreterState_Get());
  PyEval_SaveThread();
  PyEval_RestoreThread(inner);
  call_and_drop(function);
  PyThreadState_Clear(inner);
  PyThreadState_DeleteCurrent();
  PyEval_RestoreThread(outer);
  KEEP_FRAME;
  Py_RETURN_NONE;
}

VISIBLE void *gilstate_thread(void *argument) {
  struct loan *loan = argument;
  for (int i = 0; i < loan->times; i++) {
    PyGILState_STATE held = PyGILState_Ensure();
    call_and_drop(loan->function);
    PyGILState_Release(held);
    spin_middle(loan->native);
  }
  return 0;
}
static PyObject *native_thread(PyObject *self, PyObject *arguments) {
  struct loan loan = {0};
  pthread_t thread;
  if (!PyArg_ParseTuple(arguments, "Oki", &loan.function, &loan.native, &loan.times)) return 0;
  Py_BEGIN_ALLOW_THREADS
  pthread_create(&thread, 0, gilstate_thread, &loan);
  pthread_join(thread, 0);
  Py_END_ALLOW_THREADS
  Py_RETURN_NONE;
}

// A child as hosts make it: without the interpreter's knowledge.
static PyObject *fork_in_c(PyObject *self, PyObject *none) { return PyLong_FromLong(fork()); }

// Interpreters. The one that is made here stays to the end.

static PyThreadState *main_state, *sub_state;
static PyObject *main_function;

static PyObject *make_sub(PyObject *self, PyObject *source) {
  main_state = PyThreadState_Get();
  sub_state = Py_NewInterpreter();
  PyRun_SimpleString(PyUnicode_AsUTF8(source));
  PyThreadState_Swap(main_state);
  Py_RETURN_NONE;
}
VISIBLE void run_in_sub(const char *source) {
  main_state = PyThreadState_Get();
  PyThreadState_Swap(sub_state);
  PyRun_SimpleString(source);
  PyThreadState_Swap(main_state);
  KEEP_FRAME;
}
static PyObject *in_sub(PyObject *self, PyObject *arguments) {
  const char *source;
  if (!PyArg_ParseTuple(arguments, "s|O", &source, &main_function)) return 0;
  run_in_sub(source);
  Py_RETURN_NONE;
}
VISIBLE void run_in_main(void) {
  PyThreadState_Swap(main_state);
  call_and_drop(main_function);
  PyThreadState_Swap(sub_state);
  KEEP_FRAME;
}
static PyObject *back_in_main(PyObject *self, PyObject *none) {
  run_in_main();
  Py_RETURN_NONE;
}

// Stacks of our own, as fibers have them.

#define FIBERS 4
static struct fiber {
  ucontext_t context, resumer;
  PyObject *function;
  int is_done;
} fibers[FIBERS];
static int running = -1;

VISIBLE void fiber_start(void) {
  struct fiber *fiber = &fibers[running];
  call_and_drop(fiber->function);
  fiber->is_done = 1;
  swapcontext(&fiber->context, &fiber->resumer);
}
VISIBLE void resume(int number) {
  int outer = running;
  running = number;
  swapcontext(&fibers[number].resumer, &fibers[number].context);
  running = outer;
  KEEP_FRAME;
}
// Makes a fiber that calls a function, and runs it to its first switch, or its end.
static PyObject *fiber_make(PyObject *self, PyObject *arguments) {
  int number;
  PyObject *function;
  if (!PyArg_ParseTuple(arguments, "iO", &number, &function)) return 0;
  struct fiber *fiber = &fibers[number & (FIBERS - 1)];
  memset(fiber, 0, sizeof *fiber);
  fiber->function = Py_NewRef(function);
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_size = 1 << 20;
  fiber->context.uc_stack.ss_sp =
      mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  makecontext(&fiber->context, fiber_start, 0);
  resume(number & (FIBERS - 1));
  Py_RETURN_NONE;
}

// Signals.

static uint64_t handler_microseconds;
VISIBLE void on_signal(int number) {
  spin_middle(handler_microseconds);
  KEEP_FRAME;
}
static PyObject *timer(PyObject *self, PyObject *arguments) {
  int every, is_elsewhere;
  if (!PyArg_ParseTuple(arguments, "iki", &every, &handler_microseconds, &is_elsewhere)) return 0;
  if (is_elsewhere) {
    stack_t stack = {.ss_size = 1 << 16};
    stack.ss_sp = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaltstack(&stack, 0);
  }
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | (is_elsewhere ? SA_ONSTACK : 0)};
  sigaction(SIGPROF, &action, 0);
  struct itimerval value = {{0, every}, {0, every}};
  setitimer(ITIMER_PROF, &value, 0);
  Py_RETURN_NONE;
}

// Large frames: `step` is the distance of the bytes that are written.

VISIBLE void large_leaf(size_t bytes, size_t step, uint64_t microseconds) {
  volatile char block[bytes];
  for (size_t i = 0; i < bytes; i += step) block[i] = 1;
  spin_middle(microseconds);
  sink += block[bytes / step / 2 * step];
}
static PyObject *large(PyObject *self, PyObject *arguments) {
  Py_ssize_t bytes, step;
  unsigned long microseconds;
  if (!PyArg_ParseTuple(arguments, "nnk", &bytes, &step, &microseconds)) return 0;
  large_leaf(bytes, step, microseconds);
  Py_RETURN_NONE;
}
VISIBLE void large_caller(size_t bytes, size_t step, PyObject *function) {
  volatile char block[bytes];
  for (size_t i = 0; i < bytes; i += step) block[i] = 1;
  call_and_drop(function);
  sink += block[bytes / step / 2 * step];
}
static PyObject *large_call(PyObject *self, PyObject *arguments) {
  Py_ssize_t bytes, step;
  PyObject *function;
  if (!PyArg_ParseTuple(arguments, "nnO", &bytes, &step, &function)) return 0;
  large_caller(bytes, step, function);
  Py_RETURN_NONE;
}

// Code without unwind information. Each calls its first argument with its second one.

__asm__(
    ".text\n"
    ".globl bare_framed, bare_plain, bare_lying, bare_spilling, bare_locals, bare_pushes\n"
    ".type bare_framed, @function\n"
    "bare_framed:\n"  // with a frame pointer
    "  push %rbp\n  mov %rsp, %rbp\n  sub $96, %rsp\n"
    "  mov %rdi, %rax\n  mov %rsi, %rdi\n  call *%rax\n  leave\n  ret\n"
    ".size bare_framed, .-bare_framed\n"
    ".type bare_plain, @function\n"
    "bare_plain:\n"  // without
    "  push %r12\n  sub $112, %rsp\n"
    "  mov %rdi, %rax\n  mov %rsi, %rdi\n  call *%rax\n  add $112, %rsp\n  pop %r12\n  ret\n"
    ".size bare_plain, .-bare_plain\n"
    ".type bare_lying, @function\n"
    "bare_lying:\n"  // rbp is data that looks like a frame pointer: it leads past the true return address
    "  push %rbp\n  push %r12\n  lea 56(%rsp), %rbp\n  sub $120, %rsp\n"
    "  mov %rdi, %rax\n  mov %rsi, %rdi\n  call *%rax\n  add $120, %rsp\n  pop %r12\n  pop %rbp\n  ret\n"
    ".size bare_lying, .-bare_lying\n"
    ".type bare_spilling, @function\n"
    "bare_spilling:\n"  // keeps addresses of code below its return address
    "  push %rbp\n  push %r12\n  sub $152, %rsp\n  lea bare_decoy_return(%rip), %rax\n"
    "  mov %rax, (%rsp)\n  mov %rax, 24(%rsp)\n  mov %rax, 64(%rsp)\n  mov %rax, 136(%rsp)\n  xor %ebp, %ebp\n"
    "  mov %rdi, %rax\n  mov %rsi, %rdi\n  call *%rax\n  add $152, %rsp\n  pop %r12\n  pop %rbp\n  ret\n"
    ".size bare_spilling, .-bare_spilling\n"
    ".type bare_decoy, @function\n"
    "bare_decoy:\n  sub $8, %rsp\n  call *%rax\n"
    "bare_decoy_return:\n  add $8, %rsp\n  ret\n"
    ".size bare_decoy, .-bare_decoy\n"
    ".type bare_locals, @function\n"
    "bare_locals:\n"  // a leaf; what it does not write of its own memory is what earlier calls left there
    "  sub $168, %rsp\n1: imul $5, %rax\n  add $3, %rax\n  mov %rax, (%rsp)\n  dec %rdi\n  jnz 1b\n"
    "  add $168, %rsp\n  ret\n"
    ".size bare_locals, .-bare_locals\n"
    ".type bare_pushes, @function\n"
    "bare_pushes:\n"  // a leaf that saves registers
    "  push %r15\n  push %r14\n  push %r13\n  push %r12\n  push %rbx\n  push %rbp\n"
    "2: imul $5, %rax\n  add $3, %rax\n  dec %rdi\n  jnz 2b\n"
    "  pop %rbp\n  pop %rbx\n  pop %r12\n  pop %r13\n  pop %r14\n  pop %r15\n  ret\n"
    ".size bare_pushes, .-bare_pushes\n");

typedef void (*bare_function)(void (*)(void *), void *);
void bare_framed(void (*)(void *), void *), bare_plain(void (*)(void *), void *);
void bare_lying(void (*)(void *), void *), bare_spilling(void (*)(void *), void *);
void bare_locals(long), bare_pushes(long);
static const bare_function bare_functions[] = {bare_framed, bare_plain, bare_lying, bare_spilling};

VISIBLE void bare_outer(int kind, void (*function)(void *), void *argument) {
  bare_functions[kind & 3](function, argument);
  KEEP_FRAME;
}
VISIBLE void into_native(void *microseconds) {
  spin_leaf((uint64_t)microseconds);
  KEEP_FRAME;
}
VISIBLE void into_python(void *function) {
  call_and_drop(function);
  KEEP_FRAME;
}
static PyObject *bare_native(PyObject *self, PyObject *arguments) {
  int kind;
  unsigned long microseconds;
  if (!PyArg_ParseTuple(arguments, "ik", &kind, &microseconds)) return 0;
  bare_outer(kind, into_native, (void *)microseconds);
  Py_RETURN_NONE;
}
static PyObject *bare_python(PyObject *self, PyObject *arguments) {
  int kind;
  PyObject *function;
  if (!PyArg_ParseTuple(arguments, "iO", &kind, &function)) return 0;
  bare_outer(kind, into_python, function);
  Py_RETURN_NONE;
}
VISIBLE void kernel_caller(int kind, uint64_t microseconds) {
  uint64_t end = thread_cpu() + microseconds * 1000;
  do {
    if (kind) bare_pushes(100000);
    else bare_locals(100000);
  } while (thread_cpu() < end);
  KEEP_FRAME;
}
static PyObject *bare_kernel(PyObject *self, PyObject *arguments) {
  int kind;
  unsigned long microseconds;
  if (!PyArg_ParseTuple(arguments, "ik", &kind, &microseconds)) return 0;
  kernel_caller(kind, microseconds);
  Py_RETURN_NONE;
}

// Code that is made at run time: push %rbp; mov %rsp, %rbp; or, sub $40, %rsp. Then call *%rdi(%rsi).
static const unsigned char made_framed[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0xff, 0xd0, 0x5d, 0xc3};
static const unsigned char made_plain[] = {0x48, 0x83, 0xec, 0x28, 0x48, 0x89, 0xf8, 0x48, 0x89,
                                           0xf7, 0xff, 0xd0, 0x48, 0x83, 0xc4, 0x28, 0xc3};
VISIBLE void made_outer(bare_function function, uint64_t microseconds) {
  function(into_native, (void *)microseconds);
  KEEP_FRAME;
}
static PyObject *made_code(PyObject *self, PyObject *arguments) {
  static bare_function made[2];
  int kind;
  unsigned long microseconds;
  if (!PyArg_ParseTuple(arguments, "ik", &kind, &microseconds)) return 0;
  if (!made[kind & 1]) {
    char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (kind & 1) memcpy(page, made_plain, sizeof made_plain);
    else memcpy(page, made_framed, sizeof made_framed);
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    made[kind & 1] = (bare_function)page;
  }
  made_outer(made[kind & 1], microseconds);
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"spin", spin, METH_O},
    {"spin_unlocked", spin_unlocked, METH_O},
    {"call", call, METH_O},
    {"lend", lend, METH_O},
    {"pool", pool, METH_VARARGS},
    {"nested_state", nested_state, METH_O},
    {"native_thread", native_thread, METH_VARARGS},
    {"fork_in_c", fork_in_c, METH_NOARGS},
    {"make_sub", make_sub, METH_O},
    {"in_sub", in_sub, METH_VARARGS},
    {"back_in_main", back_in_main, METH_NOARGS},
    {"fiber_make", fiber_make, METH_VARARGS},
    {"timer", timer, METH_VARARGS},
    {"large", large, METH_VARARGS},
    {"large_call", large_call, METH_VARARGS},
    {"bare_native", bare_native, METH_VARARGS},
    {"bare_python", bare_python, METH_VARARGS},
    {"bare_kernel", bare_kernel, METH_VARARGS},
    {"made_code", made_code, METH_VARARGS},
    {0}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "wild", 0, -1, methods};
PyMODINIT_FUNC PyInit_wild(void) { return PyModule_Create(&definition); }
