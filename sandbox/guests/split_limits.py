"""Finds what a suite does that cannot be split.

It changes the process that it believes the solution to be in, or it runs as code what the solution answers.
"""

import sys
from _ast import (
    AST,
    Assign,
    Attribute,
    AugAssign,
    Call,
    Constant,
    Dict,
    Import,
    ImportFrom,
    List,
    Load,
    Name,
    Subscript,
    Tuple,
    arg,
)
from collections.abc import Callable
from typing import Any

# What a patch of the judge's own does reach: the solution's input and output go through these.
REACHED = frozenset({"builtins.input", "sys.stdin", "sys.stdout", "sys.stderr", "sys.argv"})
# Modules whose state tests change for their own sake.
OWN = frozenset({"unittest", "warnings", "logging", "sys.path", "sys.modules"})
SETTERS = frozenset({"setattr", "delattr", "setitem", "delitem", "setenv", "delenv", "chdir"})
CHANGING = frozenset({Call, Assign, AugAssign, Import, ImportFrom})
RUNNERS = frozenset(
    {"eval", "exec", "pickle.loads", "pickle.load", "marshal.loads", "marshal.load", "dill.loads", "dill.load",
     "cloudpickle.loads", "cloudpickle.load", "cProfile.run", "cProfile.runctx", "profile.run", "profile.runctx",
     "jsonpickle.decode", "jsonpickle.loads", "pandas.eval", "numexpr.evaluate", "sympy.sympify", "sympy.parse_expr",
     "yaml.unsafe_load", "yaml.unsafe_load_all", "logging.config.dictConfig"}
)  # fmt: skip
RUNNING_WORDS = frozenset(word.rpartition(".")[2] for word in RUNNERS)
# What reads a file whose content then runs. Loaders are not among them: what they may open is split_imports' matter.
FILE_RUNNERS = frozenset(
    {"shelve.open", "shelve.DbfilenameShelf", "shelve.Shelf", "shelve.BsdDbShelf", "pickle.Unpickler",
     "code.InteractiveInterpreter", "code.InteractiveConsole", "code.interact", "pandas.read_pickle", "joblib.load",
     "logging.config.fileConfig", "logging.config.listen",
     "imp.load_source", "imp.load_module", "imp.load_compiled", "imp.load_package"}
)  # fmt: skip
# What runs the examples of docstrings, which may be the solution's. Without arguments they are the suite's own.
EXAMPLE_RUNNERS = frozenset(
    {"doctest.testmod", "doctest.DocTestSuite", "doctest.run_docstring_examples", "doctest.testfile",
     "doctest.DocFileSuite", "doctest.DocTestFinder", "doctest.DocTestParser", "doctest.testsource", "doctest.debug",
     "doctest.script_from_examples", "doctest.Example"}
)  # fmt: skip
ALWAYS = frozenset({"doctest.DocTestFinder", "doctest.DocTestParser"})  # what is looked at is said later
OF_SUITE = frozenset({"verbose", "optionflags", "report", "raise_on_error", "exclude_empty", "name"})
# What reads a text, and with one of these also calls what it names.
LOADERS = {
    "yaml.load": frozenset({"yaml.Loader", "yaml.CLoader", "yaml.UnsafeLoader", "yaml.CUnsafeLoader"}),
    "yaml.load_all": frozenset({"yaml.Loader", "yaml.CLoader", "yaml.UnsafeLoader", "yaml.CUnsafeLoader"}),
}
TABLE_QUESTIONS = frozenset({"eval", "query"})  # of a DataFrame: their texts call functions of the tests
SPECIAL = SETTERS | TABLE_QUESTIONS  # attributes that count whatever they are asked of
MADE_HERE = frozenset({"pickle.dumps", "marshal.dumps"})
AMONG = "here they would run among the tests"
ADVICE = "the solution runs in a process of its own, where that changes nothing"


def unsplittable(nodes: list[AST], words: set[str], modules: frozenset[str]) -> str:
    """Why a suite cannot be split; empty when nothing is seen.

    `nodes` are all of its nodes, `words` the names that it reads and the attributes that it speaks of.
    """
    looked_at = [node for node in nodes if node.__class__ in CHANGING]
    names = imported(looked_at)
    held: frozenset[str] = frozenset()
    if not RUNNING_WORDS.isdisjoint(words) or any(each.rpartition(".")[2] in RUNNING_WORDS for each in names.values()):
        held = _held(nodes, names)
        called = {id(node.func) for node in looked_at if isinstance(node, Call)}
        for node in nodes:
            if node.__class__ in (Name, Attribute) and id(node) not in called and _is_runner(node, names):
                return f"it hands on what runs text (line {getattr(node, 'lineno', 0)}): {AMONG}"
    for node in looked_at:
        if isinstance(node, Call) and _is_plain(node.func, names):
            continue
        found = _patched(node, names) if isinstance(node, Call) else _assigned(node, names)
        if isinstance(node, Call) and _runs_text(node, names, held):
            return f"it runs what may be the solution's words (line {node.lineno}): {AMONG}"
        if found and found.partition(".")[0] not in modules and not _is_fine(found):
            return f"it replaces {found} (line {getattr(node, 'lineno', 0)}): {ADVICE}"
    return ""


def _is_plain(function: Any, names: dict[str, str]) -> bool:
    """Whether a call is of a kind that neither _patched() nor _runs_text() knows, as most calls of a suite are."""
    if isinstance(function, Name):
        return function.id not in names and function.id not in RUNNERS
    if not isinstance(function, Attribute) or function.attr in SPECIAL:
        return False
    while isinstance(function, Attribute):
        function = function.value
    return not isinstance(function, Name) or function.id not in names


def _runs_text(call: Call, names: dict[str, str], held: frozenset[str]) -> bool:
    """Whether a call executes text or bytes that are neither its own nor fresh from the tests' own pickling."""
    function = call.func
    word = _word(function, names)
    if word in FILE_RUNNERS or word in ALWAYS:
        return True
    if word in EXAMPLE_RUNNERS:
        return bool(call.args) or any(each.arg not in OF_SUITE for each in call.keywords)
    given = [*call.args, *(each.value for each in call.keywords)]
    if not given or _is_literal(given[0]) or getattr(given[0], "id", "") in held:
        return False
    if word not in RUNNERS:
        if any(_dotted(each, names) in LOADERS.get(word, ()) for each in given[1:]):
            return True
        asked = getattr(function, "attr", "") in TABLE_QUESTIONS and not _dotted(function, names)
        return asked and any(name.partition(".")[0] == "pandas" for name in names.values())
    inner = given[0]
    return not (isinstance(inner, Call) and _dotted(inner.func, names) in MADE_HERE)


def _word(function: Any, names: dict[str, str]) -> str:
    """What is called, by its full name."""
    return (_dotted(function, names) or getattr(function, "id", "")).removeprefix("builtins.")


def _is_runner(node: Any, names: dict[str, str]) -> bool:
    """Whether an expression is a function that runs text: it may be called under another name, or by somebody else."""
    if not isinstance(node.ctx, Load):
        return False
    named = names.get(node.id, node.id) if isinstance(node, Name) else node.attr
    return named.rpartition(".")[2] in RUNNING_WORDS and _word(node, names) in RUNNERS


def _is_literal(node: Any) -> bool:
    """Whether all of a value stands in the suite."""
    if isinstance(node, Dict):
        return all(key is not None and _is_literal(key) for key in node.keys) and all(map(_is_literal, node.values))
    return all(map(_is_literal, node.elts)) if isinstance(node, (List, Tuple)) else isinstance(node, Constant)


def _held(nodes: list[AST], names: dict[str, str]) -> frozenset[str]:
    """Names of literals that the suite hands to what runs them, and to nobody else: nobody else can have set them."""
    runs = [node for node in nodes if isinstance(node, Call) and node.args and _word(node.func, names) in RUNNERS]
    given = {id(node.args[0]): node.args[0].id for node in runs if isinstance(node.args[0], Name)}
    if not given:
        return frozenset()
    literals: dict[str, int] = {}
    for node in nodes:
        if isinstance(node, Assign) and _is_literal(node.value):
            for target in node.targets:
                if isinstance(target, Name):
                    literals[target.id] = id(target)
    spoilt = {each.arg for each in nodes if isinstance(each, arg)}
    spoilt |= {
        each.id
        for each in nodes
        if isinstance(each, Name) and literals.get(each.id) != id(each) and id(each) not in given
    }
    return frozenset(given.values()) & literals.keys() - spoilt - names.keys()


def watch_timers(nodes: list[AST], names: frozenset[str], refuse: Callable[[str], Any]) -> None:
    """Have timeit take functions, and of texts those that stand in the suite; `refuse` is told of any other.

    Tests time functions of the solution's by their names: what they get may be a text all the same.
    """
    if not any(each.partition(".")[0] == "timeit" for each in names):
        return
    import timeit  # noqa: PLC0415 - only suites that use it pay

    own = {node.value for node in nodes if isinstance(node, Constant) and type(node.value) is str} | {"pass"}
    begin = timeit.Timer.__init__

    def checked(self: Any, stmt: Any = "pass", setup: Any = "pass", *more: Any, **named: Any) -> None:
        for text in (stmt, setup):
            if isinstance(text, str) and not (type(text) is str and text in own):
                refuse(f"it times a text that may be the solution's words: {AMONG}")
        begin(self, stmt, setup, *more, **named)

    timeit.Timer.__init__ = checked  # type: ignore[method-assign]


def _is_fine(target: str) -> bool:
    root = target.partition(".")[0]
    if target in REACHED or root in OWN or ".".join(target.split(".")[:2]) in (REACHED | OWN):
        return True
    return root not in sys.stdlib_module_names and root != "numpy"


def imported(nodes: list[AST]) -> dict[str, str]:
    """Names that stand for modules, and for what is imported from them, by what they stand for."""
    found: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ImportFrom) and node.module and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _dotted(node: Any, names: dict[str, str]) -> str:
    """`a.b.c` as what it stands for; empty where it does not begin with an imported name."""
    parts: list[str] = []
    while isinstance(node, Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, Name) or node.id not in names:
        return ""
    return ".".join([names[node.id], *reversed(parts)])


def _patched(call: Call, names: dict[str, str]) -> str:
    """The target of mock.patch, patch.object, patch.dict, monkeypatch.setattr."""
    function = call.func
    word = function.attr if isinstance(function, Attribute) else getattr(function, "id", "")
    owner = getattr(function, "value", None)
    if word in SETTERS and getattr(owner, "id", "") == "monkeypatch":
        return _monkeypatched(call, word, names)
    made = _dotted(function, names)
    if not made.startswith(("unittest.mock.patch", "mock.patch")) or not call.args:
        return ""
    first = call.args[0]
    if isinstance(first, Constant) and isinstance(first.value, str):
        return first.value
    target = _dotted(first, names)
    if not target:
        return ""
    second = call.args[1] if len(call.args) > 1 else None
    named = word == "object" and isinstance(second, Constant) and isinstance(second.value, str)
    return f"{target}.{second.value}" if named and isinstance(second, Constant) else target


def _monkeypatched(call: Call, word: str, names: dict[str, str]) -> str:
    if word in ("setenv", "delenv"):
        return "os.environ"
    if word == "chdir":
        return "os.chdir"
    first = call.args[0] if call.args else None
    if isinstance(first, Constant) and isinstance(first.value, str):
        return first.value
    target = _dotted(first, names)
    second = call.args[1] if len(call.args) > 1 else None
    if target and isinstance(second, Constant) and isinstance(second.value, str) and word in ("setattr", "delattr"):
        return f"{target}.{second.value}"
    return target


def _assigned(node: AST, names: dict[str, str]) -> str:
    """An attribute or item of a module that is set by assignment."""
    targets = node.targets if isinstance(node, Assign) else [node.target] if isinstance(node, AugAssign) else []
    for target in targets:
        place = target.value if isinstance(target, Subscript) else target
        if isinstance(place, Attribute):
            return _dotted(place, names)
    return ""
