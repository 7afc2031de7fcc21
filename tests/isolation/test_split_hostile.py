"""Solutions that leave their harness and speak to the judge of a split verdict themselves: no test may pass by it."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from prismenv.isolation.blocking import BlockingSandbox
from prismenv.words.verdict import Verdict

# Finds the bridge in the frames of the harness, answers the request to load, then all others by `reply`.
TAKEOVER = """
import json, sys

def find_bridge():
    frame = sys._getframe()
    while frame is not None:
        for value in list(frame.f_locals.values()):
            if type(value).__name__ == "SolutionLink":
                return value._wire
        frame = frame.f_back

WIRE = find_bridge()
MODULE = {"h": [1, "m", "solution"]}
FUNCTION = {"h": [2, "f", "f", "function", "solution", False]}
FIRST = {"h": [2]}

def say(*frame):
    WIRE.send(json.dumps(frame).encode("ascii"))

def hear():
    return json.loads(WIRE.receive())

def described(number, name="Thing", bases=(), specials=(), methods=(), fields=(), named=None, module="solution"):
    lists = [list(part) for part in (bases, specials)]
    return {"h": [number, "c", name, name, module, *lists, False, list(methods), list(fields), named, None]}

def error(kind, text="", number=0):
    return {"E": [kind, [], text, [], None, False, number, [], None, {"d": [], "v": []}]}

def serve(reply, names=("f",), objects=("f",), values=(FUNCTION,)):
    say("r", 0, [MODULE, list(names), ["f"], list(objects), list(values)])
    while True:
        reply(hear())

"""

# name: (what the solution does once it has the bridge, the tests). None of these tests may pass.
TAKEOVERS: dict[str, tuple[str, str]] = {
    "a method called __eq__ agrees with everything": (
        """
kind = described(10, methods=["__eq__"])
serve(lambda asked: say("r", 0, {"h": [11, "i", kind]} if asked[0] == "C" else True))
""",
        "def test_a(): assert f(1) == 42",
    ),
    "a field of a named tuple called __eq__ agrees with everything": (
        """
kind = described(10, bases=[{"q": "tuple"}], named=["__eq__"])
helper = {"h": [12, "f", "agree", "builtin_function_or_method", "solution", False]}
serve(lambda asked: say("r", 0, {"N": [kind, {"t": [helper]}, 0]} if asked[1:3] == [0, 2] else True))
""",
        "def test_a(): assert f(1) == 42",
    ),
    "a field called __class__ makes an instance of anything": (
        """
kind = described(10, bases=[{"q": "tuple"}], named=["__class__"])
serve(lambda asked: say("r", 0, {"N": [kind, {"t": [{"q": "dict"}]}, 0]}))
""",
        "def test_a(): assert isinstance(f(1), dict)",
    ),
    "an object without a number ends an iteration of the tests": (
        """
kind = described(10)
serve(lambda asked: say("r", 0, {"h": [0, "i", kind]}))
""",
        """
def test_a():
    for found, wanted in zip(map(f, map(f, [1, 2])), [3, 4]): assert found == wanted
""",
    ),
    "a StopIteration of the tests comes back where another call iterates": (
        """
def reply(asked):
    if asked[2] == 2 and asked[3] and type(asked[3][0]) is dict:
        say("m", 0, asked[3][0]["h"][0], "__next__", [])
        token = hear()[2]["E"][0]
        say("x", 0, {"j": token})
    else:
        say("x", 0, {"j": 2})
serve(reply)
""",
        """
def test_a():
    try: f(iter(()))
    except BaseException: pass
    for found, wanted in zip(map(f, [1, 2]), [3, 4]): assert found == wanted
""",
    ),
    "a SkipTest of the tests comes back in another test": (
        """
def reply(asked):
    if type(asked[3][0]) is dict:
        say("c", 0, asked[3][0]["h"][0], [], {"d": [], "v": []})
        global token
        token = hear()[2]["E"][0]
    say("x", 0, {"j": token})
serve(reply)
""",
        """
import unittest
class T(unittest.TestCase):
    def skip(self): raise unittest.SkipTest("not here")
    def test_a(self): f(self.skip)
    def test_b(self): self.assertEqual(f(1), 42)
""",
    ),
    "an argument is rewritten while the judge is asked for input": (
        """
def reply(asked):
    say("i", [[number, [9]] for number in range(1, 9)][:1], "readline", "")
    hear()
    say("r", 0, [9])
serve(reply)
""",
        "def test_a():\n    x = [3, 1, 2]\n    assert f(x) == sorted(x)",
    ),
    "an exception of the solution's class is made while it is read": (
        """
kind = described(10, "Oops", bases=[{"q": "Exception"}], methods=["__new__", "__init__"])
serve(lambda asked: say("x", 0, error(kind)) if asked[0] == "C" else say("r", 0, None))
""",
        "def test_a(): assert f(1) == 42",
    ),
}
SUITE = """
import unittest
class T(unittest.TestCase):
    def test_equal(self): self.assertEqual(f(1), "SECRET")
    def test_equal_number(self): self.assertEqual(f([1, 2]), SECRET_NUMBER)
    def test_almost(self): self.assertAlmostEqual(f(1.5), SECRET_NUMBER)
    def test_is_in(self): self.assertIn(f({"a": 1}), ["SECRET", SECRET_NUMBER])
    def test_callback(self): self.assertEqual(f(lambda x: x), "SECRET")
    def test_iterator(self): self.assertEqual([f(iter([1, 2])), 0], ["SECRET", 0])
    def test_mapped(self): self.assertEqual(list(map(f, [1, 2])), ["SECRET", "SECRET"])
    def test_zipped(self):
        for found, wanted in zip(map(f, map(f, [1, 2])), ["SECRET", SECRET_NUMBER]): self.assertEqual(found, wanted)
    def test_written(self):
        x = [3, [1], {2: 3}]
        self.assertEqual(f(x), ["SECRET"])
    def test_raises(self):
        with self.assertRaisesRegex(ZeroDivisionError, "SECRET"): f(1)
    def test_entered(self):
        with f(1) as found: self.assertEqual(found, "SECRET")
    def test_thing(self): self.assertEqual(Thing(1), "SECRET")
    def test_method(self): self.assertEqual(Thing(1).run({"a": [1]}), "SECRET")
    def test_set(self): self.assertIn("SECRET", {f(1), f(2)})
    def test_text(self): self.assertEqual(str(f(1)), "SECRET")
    def test_length(self): self.assertEqual(len(f(1)), SECRET_NUMBER)
    def test_kind(self): self.assertTrue(type(f(1)) is complex and f(1) == "SECRET")
    def test_derived(self):
        class Mine(Thing):
            def run(self, x): return x
        self.assertEqual(Mine(1).run("a"), "SECRET")
"""
FUZZER = """
import random
DICE = random.Random(SEED)
WILD = DICE.choice([0, 0.003, 0.02, 0.2])  # how often a frame is one that should end the run
HOSTILE = ["__eq__", "__class__", "__new__", "_prism_of", "__hash__", "__getattr__", "__init_subclass__", "__del__"]
NAMES = ["f", "Thing", "run", "count", "index", "assertEqual", "args", "x", "prism_link", "prism_defined", "mro"]
SPECIALS = ["__eq__", "__ne__", "__lt__", "__hash__", "__next__", "__iter__", "__len__", "__enter__", "__exit__",
            "__sub__", "__rsub__", "__abs__", "__round__", "__contains__", "__getitem__", "__str__", "__call__",
            "__float__", "__bool__"]
FAILURES = ["Exception", "StopIteration", "SystemExit", "KeyboardInterrupt", "AssertionError", "GeneratorExit",
            "ZeroDivisionError", "BaseException", "OSError", "UnicodeDecodeError", "SyntaxError", "RecursionError"]
TYPES = ["int", "str", "tuple", "float", "bytes", "list", "dict", "type", "object", "property", *FAILURES]
KNOWN, GRANTED, SHARED, CLASSES = [1, 2], [], [], []
fresh = iter(range(10, 10**9))

def odd():
    return DICE.random() < WILD

def names(source=NAMES):
    return DICE.sample(HOSTILE if odd() else source, DICE.randrange(4))

def bases(wanted):
    if odd(): return [{"q": DICE.choice(TYPES)} for _ in range(2)]
    found = [{"h": [number]} for number, base in CLASSES if base == wanted]
    return [DICE.choice(found)] if found and DICE.random() < 0.3 else [{"q": wanted}] if wanted else []

def kind(wanted=""):
    known = [number for number, base in CLASSES if base == wanted]
    if known and DICE.random() < 0.4: return {"h": [DICE.choice(known)]}
    number = DICE.choice(KNOWN + [0, -1]) if odd() else next(fresh)
    module = DICE.choice(["solution", "tests", "builtins", "unittest.mock"])
    named = names() if wanted == "tuple" else None
    made = described(number, DICE.choice(NAMES), bases(wanted), names(SPECIALS), names(), names(), named, module)
    CLASSES.append((number, wanted))
    return made

def scalar():
    return DICE.choice([None, True, False, 0, 1, -1, 1.5, "", "a", 2**64, float("nan"), float("inf")])

def noted(number):
    KNOWN.append(number)
    return number

def data(depth):
    base = DICE.choice(["int", "str", "tuple", "float"])
    made = kind(base)  # in the order in which it is read there
    content = {"int": 3, "str": "a", "float": 0.5}.get(base) or {"t": [value(depth + 1)]}
    return {"N": [made, content if not odd() else value(depth + 1), DICE.choice([0, 0, 1])]}

def handle():
    roll = DICE.randrange(6)
    if roll < 3: return {"h": [noted(next(fresh)), "i", kind()]}
    if roll == 3: return {"h": [noted(next(fresh)), DICE.choice("gk"), "g"]}
    if roll == 4: return {"h": [noted(next(fresh)), "f", DICE.choice(NAMES), "function", "tests", DICE.random() < 0.5]}
    return {"h": [noted(next(fresh)), "i", {"q": DICE.choice(TYPES)}]} if WILD else {"h": [1]}

def value(depth=0):
    roll = DICE.randrange(12 if depth < 4 else 3)
    if roll == 0: return scalar()
    if roll == 1: return {"j": DICE.choice(GRANTED)} if GRANTED else {"q": DICE.choice(TYPES)}
    if roll == 2: return {"a": DICE.choice(SHARED)} if SHARED else DICE.choice(NAMES)
    if roll == 3: return {"h": [DICE.choice(KNOWN)]} if odd() else {"h": [DICE.choice([1, 2])]}
    if roll == 4: return [value(depth + 1) for _ in range(DICE.randrange(3))]
    if roll == 5: return {"t": [value(depth + 1) for _ in range(DICE.randrange(3))]}
    if roll == 6: return {"d": [scalar()], "v": [value(depth + 1)]}
    if roll == 7: return {DICE.choice("sf"): [scalar()]}
    if roll == 8: return kind(DICE.choice(["", "int", "Exception"]))
    if roll == 9: return data(depth)
    if roll == 10: return failure(depth) if not odd() else {"w": [next(fresh), 1]}
    return handle()

def failure(depth=0):
    plain = DICE.random() < 0.6
    shape = {"q": DICE.choice(FAILURES)} if plain else kind("Exception")
    number = 0 if plain != odd() else next(fresh)
    arguments = [value(depth + 1)] if depth < 3 else []
    cause = failure(depth + 1) if depth < 2 and DICE.random() < 0.3 else None
    frames = [["solution.py", 1, "f"]]
    return {"E": [shape, arguments, "SECR", frames, cause, DICE.random() < 0.5, number, [], None, False]}

def changes():
    if not SHARED or DICE.random() < 0.7: return 0
    number = DICE.choice(SHARED)
    items = [value(2) for _ in range(DICE.randrange(3))]
    fits = KINDS.get(number) == "list" or odd()
    return [[number, items if fits else {"d": list(range(len(items))), "v": items}]]

def extras():
    return [changes() or [], SHARED[:1]] if DICE.random() < 0.3 else 0

def ask(word):
    target = DICE.choice(GRANTED or [1])
    nothing = {"d": [], "v": []}
    changed = changes()
    if word == "c": rest = [target, [value(2)], nothing]
    elif word == "g": rest = [target, DICE.choice(NAMES + HOSTILE)]
    elif word == "m": rest = [target, DICE.choice(SPECIALS), [value(2)]]
    elif word == "w": rest = [value(2), DICE.choice(NAMES), [value(2)], nothing]
    else: rest = [DICE.choice(["input", "readline", "read"]), DICE.choice(["", "1", "x"])]
    send(word, changed, *rest)
    while True:
        asked = hear()
        look(asked[2:])
        if asked[0] in "REF": return
        reply(asked)

def send(*frame):
    COUNT
    text = bytearray(json.dumps(frame).encode("ascii"))
    for _ in range(DICE.randrange(1, 4) if odd() else 0):
        text[DICE.randrange(len(text))] = DICE.choice(b'0123456789[]{}",:abhjNEkwrx')
    WIRE.send(bytes(text))

def look(part):
    # What the judge hands out: numbers of its objects and of its containers.
    if type(part) is list:
        for each in part: look(each)
    elif type(part) is dict:
        for tag, content in part.items():
            if tag in "hE" and type(content) is list and content and type(content[0]) is int: GRANTED.append(content[0])
            look(content)

NEXT, KINDS = 1, {}

def containers(part):
    if type(part) is list:
        return ["list"] + [each for item in part for each in containers(item)]
    if type(part) is not dict: return []
    tag, content = next(iter(part.items()))
    if tag == "d": return ["dict"] + [each for item in part["v"] for each in containers(item)]
    return [each for item in content for each in containers(item)] if tag == "t" else []

def reply(asked):
    global NEXT, SHARED
    outer, SHARED = SHARED, []
    look(asked[2:])
    if asked[0] in "CMUNO" and type(asked[-1]) is dict:
        for part in asked[-2]:
            for found in containers(part):
                SHARED.append(NEXT)
                KINDS[NEXT] = found
                NEXT += 1
    answer(asked)
    SHARED = outer

def answer(asked):
    if asked[0] == "K": return send("r", 0, kind())
    for _ in range(30):
        roll = DICE.random()
        if roll < 0.3: ask(DICE.choice("cmgwi"))
        elif roll < 0.35: send("o", DICE.choice([1, 2]), "SECR")
        elif roll < 0.5: return send("x", extras(), failure())
        elif asked[0] == "O" and roll < 0.9: return send("r", extras(), fitting(asked[2]))
        else: return send("r", extras(), value())
    send("r", 0, None)

def fitting(operation):
    if operation in ("__len__", "__hash__", "__index__"): return DICE.randrange(5)
    if operation in ("__bool__", "__contains__", "__eq__", "__exit__"): return True
    return "SECR" if operation in ("__str__", "__repr__", "__format__") else value()

serve(reply, ["f", "Thing"], ["f", "Thing"], [FUNCTION, described(3, "Thing", methods=["run"], specials=["__len__"])])
"""


def judged(sandbox: BlockingSandbox, solution: str, tests: str) -> Verdict:
    return sandbox.judge(TAKEOVER + solution, tests, verdict="split")


def holds(verdict: Verdict) -> None:
    """No test passed, and it is the solution's fault."""
    shown = verdict.model_dump_json(indent=1) + verdict.output
    assert verdict.outcome in {"failed", "errored", "crashed", "forgery_attempt", "timed_out", "argument_rewritten"}, (
        shown
    )
    assert verdict.fault == "candidate", shown
    assert not [case for case in verdict.cases if case.outcome in ("passed", "skipped")], shown


@pytest.fixture
def sandbox(warm_sandbox: Callable[[str], Any]) -> BlockingSandbox:
    found: BlockingSandbox = warm_sandbox("portable")
    return found


@pytest.mark.parametrize("name", TAKEOVERS)
def test_takeover_passes_nothing(name: str, sandbox: BlockingSandbox) -> None:
    solution, tests = TAKEOVERS[name]
    holds(judged(sandbox, solution, tests))


def test_takeover_that_answers_honestly_passes(sandbox: BlockingSandbox) -> None:
    verdict = judged(sandbox, 'serve(lambda asked: say("r", 0, 42))', "def test_a(): assert f(1) == 42")
    assert verdict.outcome == "passed", verdict.output


@pytest.mark.parametrize("seed", range(60))
def test_random_frames_pass_nothing(seed: int, sandbox: BlockingSandbox) -> None:
    dice = random.Random(seed)
    tests = SUITE.replace("SECRET_NUMBER", str(dice.randrange(10**30, 10**31))).replace(
        "SECRET", f"secret {dice.random()}"
    )
    holds(judged(sandbox, FUZZER.replace("SEED", str(seed)).replace("COUNT", "pass"), tests))
