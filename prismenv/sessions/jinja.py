"""Prompts as Jinja templates, in Jinja's sandboxed environment.

A template is compiled from its agent file's text alone; inputs are values, so that template syntax in what a model or a
user wrote is text. A value is shown as slots show it. Nothing is included from anywhere: there is no loader.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from prismenv.words.errors import ConfigurationException

Program = Callable[[Mapping[str, Any]], str]


class PromptSyntaxError(ValueError):
    """A template that cannot be compiled; `line` counts from 1 within it."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line} of the template: {why}")
        self.line = line
        self.why = why


def compile_prompt(text: str, show: Callable[[Any], str]) -> Program:
    """The template as a function of the inputs; `show` makes a value text. Raises PromptSyntaxError."""
    from jinja2 import TemplateError  # noqa: PLC0415 - few files use it, and it is slow to import

    with _syntax_errors():
        template = _environment(show).from_string(text)

    def program(inputs: Mapping[str, Any]) -> str:
        try:
            return str(template.render(inputs))
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            # boundary: expressions of an agent file, over values that it did not choose
            raise ConfigurationException(
                f"the template cannot be filled: {type(error).__name__}: {error}", code="template_failed"
            ) from error

    return program


def free_names(text: str) -> dict[str, int]:
    """The names that the template reads and does not set, each with its first line. Raises PromptSyntaxError."""
    from jinja2 import meta, nodes  # noqa: PLC0415 - as above

    with _syntax_errors():
        tree = _environment(str).parse(text)
        free = meta.find_undeclared_variables(tree)
    lines: dict[str, int] = {}
    for node in tree.find_all(nodes.Name):
        if node.name in free:
            lines.setdefault(node.name, node.lineno)
    return lines


@contextmanager
def _syntax_errors() -> Iterator[None]:
    """Jinja's complaint about a template as a PromptSyntaxError."""
    from jinja2 import TemplateSyntaxError  # noqa: PLC0415 - as above

    try:
        yield
    except TemplateSyntaxError as error:
        raise PromptSyntaxError(error.lineno, error.message or "it is no template") from error


@cache
def known_names() -> frozenset[str]:
    """What every template may read beside its inputs, such as `range`."""
    return frozenset(_environment(str).globals)


@cache
def _environment(show: Callable[[Any], str]) -> Any:
    from jinja2 import StrictUndefined  # noqa: PLC0415 - as above
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

    return ImmutableSandboxedEnvironment(
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=show,
    )
