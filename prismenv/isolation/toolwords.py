"""What a language's file says of tools: which it needs, how they compile, and how a program of tests is run.

Words of commands may hold braces: `{node}` is the absolute path of the tool of that name, `{node_home}` the folder that
it is installed in, `{source}` the file of the code, `{path}` the folders of all tools of the language.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from prismenv.words.limits import Limits
from prismenv.words.mapping import FrozenModel

BRACES = re.compile(r"\{(\w+)\}")
OWN_WORDS = ("source", "path", "python", "boot")  # braces that are no tool's
TestResults = Literal["tap", "junit"]
COMPILE_LIMITS = Limits(
    wall_seconds=60, cpu_seconds=30, memory_bytes=2**30, output_bytes=2**18, file_bytes=2**26, processes=32
)


class Tool(FrozenModel):
    """One program of the host. `find` are its names, the first one on the PATH is taken; `package` is what to install.

    `home` is a command that prints the folder in which the real one stands in `bin/`: for tools that are found by a
    stand-in that chooses among several. Empty: there is none. `{tool}` is the stand-in.
    """

    find: tuple[str, ...] = Field(min_length=1)
    package: str = Field(min_length=1)
    home: tuple[str, ...] = ()


class Compilation(FrozenModel):
    """How `{source}` becomes what is run. `output` are names or patterns of the files that are kept, in one folder.

    `shows` are paths of the host, or patterns of them, that are seen while it compiles; those that are not there are
    left out. `seccomp` names its profile of system calls.
    """

    command: tuple[str, ...] = Field(min_length=1)
    output: tuple[str, ...] = Field(min_length=1)
    shows: tuple[str, ...] = ()
    environment: Mapping[str, str] = Field(default_factory=dict)
    seccomp: str = "tools"
    limits: Limits = COMPILE_LIMITS
    address_space: bool = True  # whether its address space is limited as its memory is


class TestProgram(FrozenModel):
    """How tests that are a program are run, beside the solution. `file` is its name, `results` what it prints.

    `compile` empty: it is not compiled; else it is the command instead of the language's own.
    """

    __test__ = False  # not pytest's

    file: str
    run: tuple[str, ...] = Field(min_length=1)
    compile: tuple[str, ...] = ()
    results: TestResults = "tap"


def braces(words: Iterable[str]) -> set[str]:
    """The names in braces that `words` hold."""
    return {name for word in words for name in BRACES.findall(word)}


def filled(words: Iterable[str], values: Mapping[str, Any]) -> list[str]:
    """`words` with their braces filled; one that has no value stays as it is."""
    return [BRACES.sub(lambda found: str(values.get(found[1], found[0])), word) for word in words]
