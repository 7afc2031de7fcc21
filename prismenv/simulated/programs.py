"""Challenges of the bank as whole programs in other languages: cases that judge them, right programs and wrong ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from prismenv.simulated.question import Question
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean

FILE = Path(__file__).with_name("programs.yaml")
LANGUAGES = ("javascript", "cpp")
USUAL = "python"  # which the bank itself is written in
LOOPS: Mapping[str, str] = {
    "javascript": "while (true) {}\n",
    "cpp": "int main() {\n    for (volatile int i = 0;; i = i + 1) {}\n}\n",
}
CRASHES: Mapping[str, str] = {
    "javascript": "throw new Error('this part is not finished');\n",
    "cpp": '#include <stdexcept>\nint main() {\n    throw std::runtime_error("this part is not finished");\n}\n',
}


@dataclass(frozen=True, slots=True)
class ProgramTask:
    """One challenge: `io` says what is read and printed, `suite` is its file of cases.

    `right` and `wrong` are programs by language.
    """

    id: str
    io: str
    suite: str
    right: Mapping[str, str]
    wrong: Mapping[str, tuple[str, ...]]

    def statement(self, statement: str) -> str:
        """The challenge's statement with what makes it one about a program."""
        return f"{statement.rstrip()}\n\nWrite a whole program instead of the function. {self.io.strip()}"


@cache
def load_programs(file: Path = FILE) -> Mapping[str, ProgramTask]:
    """All of them by the challenge's id. ConfigurationException where the file is wrong."""
    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))
        return {entry["id"]: _task(entry) for entry in entries}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationException(f"{file} cannot be read: {error!r}; install prismenv again") from error


def language_of(question: Question) -> str:
    """The language that a question asks for. ConfigurationException: the simulated model does not speak it."""
    language = question.text("language").strip() or USUAL
    if language != USUAL and language not in LANGUAGES:
        known = (USUAL, *LANGUAGES)
        raise ConfigurationException(
            f"the simulated model has no programs in {language[:80]!r}{did_you_mean(language, known)};"
            f" it knows: {', '.join(known)}",
            code="not_in_bank",
            subject=language[:80],
        )
    return language


def cut_off(program: str) -> str:
    """An answer that ends half way: no language takes it for a program."""
    lines = program.split("\n")
    return "\n".join([*lines[: len(lines) // 2], "    return ("])


def _task(entry: Mapping[str, Any]) -> ProgramTask:
    right = {language: str(entry[language]) for language in LANGUAGES}
    wrong = {
        language: tuple(_edited(right[language], *edit) for edit in entry["wrong"][language]) for language in LANGUAGES
    }
    suite = yaml.safe_dump({"cases": entry["cases"]}, sort_keys=False, width=1000, default_style='"')
    return ProgramTask(str(entry["id"]), str(entry["io"]), suite.replace('"cases":', "cases:", 1), right, wrong)


def _edited(program: str, what: str, by: str) -> str:
    if what not in program:
        raise ValueError(f"{what!r} does not stand in the program that it should make wrong")
    return program.replace(what, by, 1)
