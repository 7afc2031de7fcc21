"""A program out of an answer to a prompt that is itself the beginning of a program, as HumanEval's are."""

import ast
import re
import textwrap

from prismenv.answers.code import extract_code
from prismenv.answers.syntax import bound, definitions, parse


def complete_prompt(prompt: str, entry_point: str, answer: str) -> str | None:
    """The program that `answer` makes of `prompt`, None where it makes none.

    An answer that defines `entry_point` stands alone, behind the prompt's imports and helpers where it lacks any. One
    that goes on where the prompt ends is put behind it, character by character. Anything else is first searched for
    code: a whole function, or a body, which may have lost its indentation.
    """
    if defines(answer, entry_point):
        return _with_preamble(prompt, entry_point, answer)
    if continues(prompt, entry_point, answer):
        return prompt + answer
    code = extract_code(answer)
    if code is None:
        return None
    if defines(code, entry_point):
        return _with_preamble(prompt, entry_point, code)
    body = textwrap.indent(textwrap.dedent(code), "    ")
    return prompt + body if continues(prompt, entry_point, body) else None


def defines(text: str, name: str) -> bool:
    """True where `text` is a program that defines a function or class of that name at module level."""
    tree = parse(text)
    return tree is not None and name in definitions(tree)


def continues(prompt: str, entry_point: str, text: str) -> bool:
    """True where `text` behind `prompt` adds a statement to the body of `entry_point`."""
    tree = parse(prompt + text)
    if tree is None:
        return False
    lines = prompt.count("\n")
    return any(
        isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and statement.name == entry_point
        and (statement.end_lineno or 0) > lines
        for statement in tree.body
    )


def _with_preamble(prompt: str, entry_point: str, code: str) -> str:
    """`code` after what stands before the entry point in the prompt, where it lacks any name of that."""
    start = re.search(rf"^(?:async[ \t]+)?(?:def|class)[ \t]+{re.escape(entry_point)}\b", prompt, re.MULTILINE)
    preamble = parse(prompt[: start.start()]) if start else None
    program = parse(code)
    if start is None or preamble is None or not preamble.body or program is None:
        return code
    from_future = any(isinstance(line, ast.ImportFrom) and line.module == "__future__" for line in program.body)
    if from_future or bound(preamble) <= bound(program):
        return code
    return f"{prompt[: start.start()].rstrip()}\n\n\n{code}"
