"""accuracy_python.py [SECONDS]: pure Python whose stack changes every few hundred nanoseconds.

A stack put together from two instants shows a call that cannot be. Reports `edges`, every legal pair of caller and
called function (of the names of this program), and `paths`, the only legal stack of functions that have just one;
`clocks`: CPU time of the parts of main, each with everything it calls.
"""

import time

import gate

# Three branches of different depth; no function of one is ever called by another.


def aa(i):
    return i + 1


def a(i):
    return aa(i) + aa(i + 1)


def bbb(i):
    return i - 1


def bb(i):
    return bbb(i) + bbb(i + 1)


def b(i):
    return bb(i)


def cccc(i):
    return i


def ccc(i):
    return cccc(i)


def cc(i):
    return ccc(i)


def c(i):
    return cc(i)


def branches(n):
    for i in range(n):
        a(i)
        b(i)
        c(i)


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def recursion(n):
    fibonacci(n)


# Generators: resumed and left at every item, and one that is left for good.


def square(i):
    return i * i


def items(n):
    for i in range(n):
        yield square(i)


def delegating(n):
    yield from items(n)


def generators(n):
    for _ in delegating(n):
        pass
    for i in range(n // 8):
        for _ in short(i):
            break


def short(i):
    yield square(i)
    yield i


# Coroutines, driven without an event loop.


class Pause:
    def __await__(self):
        yield


def unit(i):
    return i * 3


async def leaf_1(i):
    return unit(i)


async def leaf_2(i):
    await Pause()
    return unit(i)


async def task_1(n):
    for i in range(n):
        await leaf_1(i)
        if i % 16 == 0:
            await leaf_2(i)


async def task_2(n):
    for i in range(n):
        await leaf_1(i)
        await leaf_2(i)


def coroutines(n):
    tasks = [task_1(n), task_2(n)]
    while tasks:
        task = tasks.pop(0)
        try:
            task.send(None)
            tasks.append(task)
        except StopIteration:
            pass


# Calls through the interpreter's C code: descriptors, comparison, sorting, exceptions.


class Key:
    def __init__(self, value):
        self.value = value

    def __lt__(self, other):
        return less(self.value, other.value)


def less(left, right):
    return left < right


def raiser(i):
    raise ValueError(i)


def objects(n):
    sorted([Key(i * 7919 % n) for i in range(n)])
    for i in range(n):
        try:
            raiser(i)
        except ValueError:
            pass


def main(seconds):
    clock, parts = time.thread_time_ns, [(branches, 2500), (recursion, 14), (generators, 4000), (coroutines, 900), (objects, 500)]
    end = clock() + int(seconds * 1e9)
    while clock() < end:
        for part, n in parts:
            start = clock()
            part(n)
            clocks[part.__name__] += clock() - start


EDGES = """main>branches branches>a a>aa branches>b b>bb bb>bbb branches>c c>cc cc>ccc ccc>cccc main>recursion
recursion>fibonacci fibonacci>fibonacci main>generators generators>delegating delegating>items items>square
generators>short short>square main>coroutines coroutines>task_1 coroutines>task_2 task_1>leaf_1 task_1>leaf_2
task_2>leaf_1 task_2>leaf_2 leaf_1>unit leaf_2>unit leaf_2>Pause.__await__ main>objects objects>Key.__init__
objects>Key.__lt__ Key.__lt__>less objects>raiser <module>>main"""
# A list comprehension is a function of its own up to 3.11.
COMPREHENSION = "objects.<locals>.<listcomp>"

if __name__ == "__main__":
    seconds = gate.argument(1, 2.0)
    clocks = dict.fromkeys(["branches", "recursion", "generators", "coroutines", "objects"], 0)
    edges = [edge.rsplit(">", 1) for edge in EDGES.split()]
    edges += [["objects", COMPREHENSION], [COMPREHENSION, "Key.__init__"]]
    paths, callers = {}, {}
    for caller, function in edges:
        callers.setdefault(function, []).append(caller)
    for function in callers:
        path, name = [function], function
        while len(callers.get(name, [])) == 1 and callers[name] != [name]:
            name = callers[name][0]
            path.insert(0, name)
        if path[0] == "<module>":
            paths[function] = path
    gate.wait()
    start = time.thread_time_ns()
    main(seconds)
    gate.report(clocks=clocks, edges=edges, paths=paths, main_cpu_ns=time.thread_time_ns() - start)
