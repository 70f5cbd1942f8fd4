"""churn_code.py [exec|marshal|replace|closure] [SECONDS] [ROUNDS]: makes, runs and drops code objects as fast as
it can, for SECONDS of CPU time.

Generation n (eight digits) is three functions in the file <gen_n>: outer_n calls middle_n, that calls inner_n
through C (sit_hop), and that calls sit_lane_k for ROUNDS of work, k = n % 8. Nothing of generation n is alive
when generation n + 1 is made, so its memory is used again at once. What can be checked on a stack without
trusting what made it:

- the number in the name is the number in the file, for every frame, and one number for all frames of a stack;
- outer, middle and inner stand below each other in this order and no other;
- the symbol sit_lane_k, which no Python name decides, is that of the number;
- each function has one line: inner_n is on line 2 + n % 97, middle_n on the next, outer_n on the one after.

`exec` compiles a source for each generation, `closure` too but its functions have free variables; `marshal` loads
code from patched bytes; `replace` gives a code object new names. Reports generations and CPU time.
"""

import gc
import marshal
import time
import types

import gate
import situations

LANES, LINES = 8, 97
BLANK = "00000000"

# The same shape: a line of something else, then inner, middle and outer.
PLAIN = """\
hop = None
def inner_@(rounds): return lane(rounds)
def middle_@(hop, rounds): return hop(inner_@, rounds)
def outer_@(hop, rounds): return middle_@(hop, rounds)
"""
CLOSURE = """\
def make(lane):
 def inner_@(rounds): return lane(rounds)
 def middle_@(hop, rounds): return hop(inner_@, rounds)
 def outer_@(hop, rounds): return middle_@(hop, rounds)
 return outer_@
"""


def compiled(source, number, line):
    text = "\n" * line + source.replace("@", number)
    return compile(text, "<gen_%s>" % number, "exec", dont_inherit=True)


def renamed(value, number):
    """A constant of a code object, or the code object, with `number` in its names."""
    if isinstance(value, str):
        return value.replace(BLANK, number)
    if not isinstance(value, types.CodeType):
        return value
    return value.replace(
        co_name=renamed(value.co_name, number),
        co_qualname=renamed(value.co_qualname, number),
        co_filename=renamed(value.co_filename, number),
        co_names=tuple(renamed(name, number) for name in value.co_names),
        co_consts=tuple(renamed(constant, number) for constant in value.co_consts),
    )


def by_exec(number, line):
    return compiled(PLAIN, number, line)


def by_closure(number, line):
    return compiled(CLOSURE, number, line)


def by_marshal(number, line):
    return marshal.loads(templates[line].replace(BLANK.encode(), number.encode()))


def by_replace(number, line):
    return renamed(templates[line], number)


def generation(make_code, n, rounds):
    number = "%08d" % n
    lane = lanes[n % LANES]
    names = {"lane": lane}
    exec(make_code(number, n % LINES), names)
    outer = names["make"](lane) if "make" in names else names["outer_" + number]
    outer(situations.hop, rounds)
    names.clear()  # The functions hold this dictionary: without this they live until the next collection.


def churn(make_code, seconds, rounds):
    end = time.process_time() + seconds
    n = 0
    while time.process_time() < end:
        generation(make_code, n, rounds)
        n += 1
    return n


if __name__ == "__main__":
    mode = gate.argument(1, "exec")
    seconds, rounds = gate.argument(2, 5.0), gate.argument(3, 20000)
    makers = {"exec": by_exec, "closure": by_closure, "marshal": by_marshal, "replace": by_replace}
    lanes = [getattr(situations, "lane_%d" % k) for k in range(LANES)]
    templates = []
    if mode in ("marshal", "replace"):
        templates = [compiled(PLAIN, BLANK, line) for line in range(LINES)]
    if mode == "marshal":
        templates = [marshal.dumps(code) for code in templates]
    gc.disable()  # Reference counts alone free everything here, at a known place.
    gate.wait()
    start = time.process_time_ns()
    generations = churn(makers[mode], seconds, rounds)
    gate.report(mode=mode, generations=generations, cpu_ns=time.process_time_ns() - start)
