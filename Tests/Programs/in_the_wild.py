"""What real hosts do to threads, thread states and stacks, with the legal stacks of each situation.

    in_the_wild.py [--no-gate] [--extension FOLDER] [--report FILE] SITUATION SECONDS

A situation is a function that is called again and again until SECONDS of the process's CPU time are used, and the legal
paths: the functions of this file and of wild.c from the root inwards. What a stack shows of them must be the beginning of
one path. Two sides of each situation use CPU time that is measured; `shares` are what they used, by a function that is on
the stack of one side only.
"""

import functools
import os
import signal
import sys
import threading
import time

import gate

REPORT = gate._option("--report")
import wild  # noqa: E402  (found by what gate took from the arguments)

SITUATIONS = {}
# Of the main thread's stacks.
MAIN = ["<module>", "main", "drive"]
SPIN = ["spin", "spin_middle", "spin_leaf"]
STEP = 1500  # microseconds
used = {}


def situation(*paths, anywhere=()):
    """`anywhere`: what may stand at the leaf's end of any stack."""

    def add(function):
        SITUATIONS[function.__name__] = (function, [list(path) for path in paths], list(anywhere))
        return function

    return add


def compute():
    begin = now = time.thread_time()
    while now < begin + STEP / 1e6:
        for _ in range(300):
            pass
        now = time.thread_time()
    used["compute"] = used.get("compute", 0) + now - begin


def native(function=wild.spin, *arguments):
    begin = time.thread_time()
    function(*(arguments or (STEP,)))
    used["spin_leaf"] = used.get("spin_leaf", 0) + time.thread_time() - begin


def both():
    compute()
    native()


BOTH = [["both", "compute"], ["both", "native", *SPIN]]


def under(*prefix):
    return [[*prefix, *path] for path in BOTH]


# Thread states.


@situation([*MAIN, "lend", "compute"], *under("borrower", "call_python"), [*MAIN, "lend", "lend"])
def lend():
    compute()
    wild.lend(both)


@situation(*under("in_thread", "lend", "compute"), *under("borrower", "call_python"), ["in_thread", "lend", "compute"],
           ["in_thread", "lend", "lend"], [*MAIN, "lend_from_a_thread"])
def lend_from_a_thread():
    in_a_thread(lend)


def in_thread(function):
    function()


def in_a_thread(*functions):
    threads = [threading.Thread(target=in_thread, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@situation(*under("pool_thread", "call_python"), ["pool_thread", "spin_middle", "spin_leaf"], [*MAIN, "pool", "pool"])
def pool():
    wild.pool(both, 0, 3)


@situation(*under("pool_thread", "call_python"), [*MAIN, "pools_in_threads"], ["pool_thread", *SPIN[1:]], ["in_thread", "pool", "pool"])
def pools_in_threads():
    in_a_thread(pool, pool, pool)


@situation(*under(*MAIN, "nested_state", "nested_state", "call_python"))
def nested_state():
    wild.nested_state(both)


@situation(*under("in_thread", "nested_state", "nested_state", "call_python"), [*MAIN, "nested_state_in_a_thread"])
def nested_state_in_a_thread():
    in_a_thread(nested_state)


@situation(*under("gilstate_thread", "call_python"), ["gilstate_thread", *SPIN[1:]], [*MAIN, "native_thread", "native_thread"])
def native_thread():
    wild.native_thread(both, 0, 3)


@situation(*under("in_thread"), [*MAIN, "threads"], *under(*MAIN, "threads"))
def threads():
    in_a_thread(both, both)
    both()


@situation(*under(*MAIN, "forked"))
def forked():
    both()


@situation(*under("in_thread"), *under(*MAIN, "forked_with_threads"))
def forked_with_threads():
    in_a_thread(both)
    both()


@situation(*SITUATIONS["lend"][1], [*MAIN, "forked_that_lends", "lend", "compute"], [*MAIN, "forked_that_lends", "lend", "lend"])
def forked_that_lends():
    lend()


# Interpreters: what runs in the second one has names that begin with sub.

SUB = """
import sys, time
sys.path[:0] = %r
import wild
def compute():
    begin = now = time.thread_time()
    while now < begin + %r / 1e6:
        for _ in range(300):
            pass
        now = time.thread_time()
def both():
    compute()
    wild.spin(%r)
"""
IN_SUB = ["in_sub", "run_in_sub", "sub:<module>"]


@functools.cache
def second_interpreter():
    wild.make_sub(SUB % (sys.path[:1], STEP, STEP))


@situation([*MAIN, "sub", *IN_SUB, "sub:both", "sub:compute"], [*MAIN, "sub", *IN_SUB, "sub:both", *SPIN],
           [*MAIN, "sub", "second_interpreter", "make_sub", "sub:<module>"])
def sub():
    second_interpreter()
    wild.in_sub("both()")


@situation([*MAIN, "sub_and_back", *IN_SUB, "sub:compute"],
           *under(*MAIN, "sub_and_back", *IN_SUB, "back_in_main", "run_in_main", "call_python"),
           [*MAIN, "sub_and_back", "second_interpreter", "make_sub", "sub:<module>"])
def sub_and_back():
    second_interpreter()
    wild.in_sub("compute(); wild.back_in_main()", both)


@situation(*SITUATIONS["sub"][1], *under(*MAIN, "sub_beside_main"), *under("in_thread"),
           *[[*MAIN, "sub_beside_main", *path[3:]] for path in SITUATIONS["sub"][1]])
def sub_beside_main():
    sub()
    both()
    in_a_thread(both)


# Stacks of their own.

FIBER = ["fiber_start", "call_python"]


@situation(*under(*FIBER), *under(*MAIN, "fiber"), [*MAIN, "fiber", "fiber_make", "resume"])
def fiber():
    wild.fiber_make(0, both)
    both()


@situation(*under(*FIBER), *under(*FIBER, "outer_fiber"), [*FIBER, "outer_fiber", "fiber_make", "resume"],
           [*MAIN, "fiber_in_a_fiber", "fiber_make", "resume"])
def fiber_in_a_fiber():
    wild.fiber_make(0, outer_fiber)


def outer_fiber():
    wild.fiber_make(1, both)
    both()


@situation(*under(*FIBER), *under("in_thread", "fiber"), ["in_thread", "fiber", "fiber_make", "resume"],
           [*MAIN, "fiber_in_a_thread"])
def fiber_in_a_thread():
    in_a_thread(fiber)


def ping_run(work):
    while True:
        work()
        greenlets.main.switch()


def pong_run(work):
    while True:
        work()
        greenlets.main.switch()


greenlets = threading.local()


def switch_between(start, left, right):
    import greenlet

    if not hasattr(greenlets, "main"):
        greenlets.main = greenlet.getcurrent()
        greenlets.ping, greenlets.pong = greenlet.greenlet(ping_run), greenlet.greenlet(pong_run)
        start(greenlets.ping, left)
        start(greenlets.pong, right)
    for _ in range(4):
        greenlets.ping.switch()
        greenlets.pong.switch()


def starting(*prefix):
    deep = ["first_switch_from_depth", "call_python"] * 6
    return [[*prefix, "switch_between", "first_switch"], [*prefix, "switch_between", *deep, "first_switch_from_depth"]]


def first_switch(greenlet, *arguments):
    greenlet.switch(*arguments)


def first_switch_from_depth(greenlet, work, depth=6):
    if depth:
        wild.call(functools.partial(first_switch_from_depth, greenlet, work, depth - 1))
    else:
        greenlet.switch(work)


@situation(["ping_run", "compute"], ["pong_run", "native", *SPIN], *starting(*MAIN, "greenlet_plain"))
def greenlet_plain():
    switch_between(first_switch, compute, native)


@situation(["ping_run", "compute"], ["pong_run", "native", *SPIN], *starting(*MAIN, "greenlet_deep"))
def greenlet_deep():
    switch_between(first_switch_from_depth, compute, native)


def through_c():
    wild.call(both)


@situation(*under("ping_run", "through_c", "call", "call_python"), ["pong_run", "native", *SPIN],
           *starting(*MAIN, "greenlet_through_c"))
def greenlet_through_c():
    switch_between(first_switch_from_depth, through_c, native)


@situation(["ping_run", "compute"], ["pong_run", "native", *SPIN], *starting("in_thread", "greenlet_plain"),
           [*MAIN, "greenlet_in_a_thread"])
def greenlet_in_a_thread():
    in_a_thread(greenlet_plain)


# Signals: a handler in C, anywhere.

HANDLER = ["on_signal", "spin_middle", "spin_leaf"]


@functools.cache
def start_timer(is_elsewhere):
    wild.timer(5000, 500, is_elsewhere)


@situation(*under(*MAIN, "handler"), [*MAIN, "handler", "start_timer", "timer"], anywhere=HANDLER)
def handler():
    start_timer(0)
    both()


@situation(*under(*MAIN, "handler_on_another_stack"), [*MAIN, "handler_on_another_stack", "start_timer", "timer"],
           anywhere=HANDLER)
def handler_on_another_stack():
    start_timer(1)
    both()


def python_handler(number, frame):
    both()
    # Once more, when this one has returned or is about to.
    signal.setitimer(signal.ITIMER_PROF, 0.01)


@functools.cache
def start_python_timer():
    signal.signal(signal.SIGPROF, python_handler)
    signal.setitimer(signal.ITIMER_PROF, 0.01)


@situation(*under(*MAIN, "handler_in_python"), *under(*MAIN, "handler_in_python", "python_handler"),
           *under(*MAIN, "handler_in_python", "both", "python_handler"),
           *under(*MAIN, "handler_in_python", "both", "compute", "python_handler"),
           *under(*MAIN, "handler_in_python", "both", "native", "python_handler"),
           *under(*MAIN, "python_handler"), *under(*MAIN[:2], "python_handler"),
           *under(*MAIN, "handler_in_python", "start_python_timer", "python_handler"))
def handler_in_python():
    start_python_timer()
    both()


# Large frames and deep stacks.


def large_frames(bytes, step):
    begin = time.thread_time()
    wild.large(bytes, step, STEP)
    used["spin_leaf"] = used.get("spin_leaf", 0) + time.thread_time() - begin
    wild.large_call(bytes, step, compute)


def large_paths(*prefix):
    return [[*prefix, "large_frames", "large", "large_leaf", "spin_middle", "spin_leaf"],
            [*prefix, "large_frames", "large_call", "large_caller", "call_python", "compute"]]


@situation(*large_paths(*MAIN, "large_written"))
def large_written():
    large_frames(40000, 64)


@situation(*large_paths(*MAIN, "large_beyond_a_copy"))
def large_beyond_a_copy():
    large_frames(150000, 64)


@situation(*large_paths("in_thread", "large_untouched_here"), [*MAIN, "large_untouched"])
def large_untouched():
    in_a_thread(large_untouched_here)


def large_untouched_here():
    large_frames(40000, 39999)


@situation(*large_paths("in_thread", "large_with_holes_here"), [*MAIN, "large_with_holes"])
def large_with_holes():
    in_a_thread(large_with_holes_here)


def large_with_holes_here():
    large_frames(44000, 11000)


def descend(depth):
    if depth:
        wild.call(functools.partial(descend, depth - 1))
    else:
        both()


def descend_in_python(depth):
    if depth:
        descend_in_python(depth - 1)
    else:
        both()


@situation(*under(*MAIN, "depth_in_c", *["descend", "call", "call_python"] * 60, "descend"))
def depth_in_c():
    descend(60)


@situation(*under(*MAIN, "depth_in_python", *["descend_in_python"] * 501))
def depth_in_python():
    descend_in_python(500)


@situation(*under(*MAIN, "too_deep_in_c", *["descend", "call", "call_python"] * 450, "descend"))
def too_deep_in_c():
    descend(450)


@situation(*under(*MAIN, "too_deep_in_python", *["descend_in_python"] * 3001))
def too_deep_in_python():
    descend_in_python(3000)


# Code without unwind information.


def add_bare(kind, name):
    outer = [*MAIN, "bare_" + name, "bare_round"]

    def round():
        bare_round(kind)

    round.__name__ = round.__qualname__ = "bare_" + name
    round.__code__ = round.__code__.replace(co_name=round.__name__, co_qualname=round.__name__)
    situation([*outer, "native", "bare_native", "bare_outer", "bare_" + name, "into_native", "spin_leaf"],
              [*outer, "bare_python", "bare_outer", "bare_" + name, "into_python", "call_python", "compute"])(round)


def bare_round(kind):
    native(wild.bare_native, kind, STEP)
    wild.bare_python(kind, compute)


for kind, name in enumerate(["framed", "plain", "lying", "spilling"]):
    add_bare(kind, name)


def kernel_round(kind):
    wild.bare_kernel(kind, STEP)
    compute()


@situation([*MAIN, "leaf_with_locals", "kernel_round", "bare_kernel", "kernel_caller", "bare_locals"],
           [*MAIN, "leaf_with_locals", "kernel_round", "compute"])
def leaf_with_locals():
    kernel_round(0)


@situation([*MAIN, "leaf_with_pushes", "kernel_round", "bare_kernel", "kernel_caller", "bare_pushes"],
           [*MAIN, "leaf_with_pushes", "kernel_round", "compute"])
def leaf_with_pushes():
    kernel_round(1)


def made_round(kind):
    # Addresses of the allocator's functions are left behind on the stack.
    pieces = [bytearray(3000 + index) for index in range(50)]
    native(wild.made_code, kind, STEP)
    del pieces
    compute()


MADE = ["made_round", "native", "made_code", "made_outer", "into_native", "spin_leaf"]


@situation([*MAIN, "made_with_frame", *MADE], [*MAIN, "made_with_frame", "made_round", "compute"])
def made_with_frame():
    made_round(0)


@situation([*MAIN, "made_without_frame", *MADE], [*MAIN, "made_without_frame", "made_round", "compute"])
def made_without_frame():
    made_round(1)


def drive(function, seconds):
    begin = time.process_time()
    while time.process_time() < begin + seconds:
        function()


def main():
    sys.setrecursionlimit(20000)
    name, seconds = sys.argv[1], float(sys.argv[2])
    child = 0
    if name.startswith("forked"):
        child = wild.fork_in_c()
        if child:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    gate.wait()
    drive(SITUATIONS[name][0], seconds)
    if REPORT:
        import json

        with open(REPORT, "w") as file:
            json.dump(used, file)
    os._exit(0)


if __name__ == "__main__":
    main()
