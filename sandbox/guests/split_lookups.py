"""What the tests have the library look up by a text of the solution's: no path into what the tests are made of.

`template.format(user=user)` follows the attributes that the template names, `operator.attrgetter` those of its text,
`mock.patch` finds what it replaces by one. Where the text is the solution's, it leads from any object of the tests to
their globals, or replaces what they expect. So a text that the suite does not hold itself names no attribute that
begins with `_`, and names nothing to replace but the solution's.
"""

import builtins
import sys
from _ast import Attribute, Call, Constant, Load, Name, PyCF_ONLY_AST
from _string import formatter_field_name_split, formatter_parser
from collections.abc import Callable
from typing import Any

from python_suite import Suite, every
from split_texts import SUITE, Texts

FORMAT = "@format"  # no program can spell it
FORMATTING = frozenset({"format", "format_map"})
DEPTH = 3  # of fields in the specifications of fields: what is deeper is refused by format itself


class Lookups:
    """The guards of one run. `modules` are the solution's; `refuse` ends the run and says why."""

    def __init__(self, suite: Suite, texts: Texts, modules: frozenset[str], refuse: Callable[[str], Any]) -> None:
        self._suite = suite
        self._texts = texts
        self._modules = modules
        self._refuse = refuse
        self._approved: set[str] = set()  # what stands before the last dot of targets that were looked at

    def guard(self, imported: frozenset[str]) -> None:
        """Stand in the way of what the suite uses; `imported` are the full names of what it imports."""
        words = self._suite.words
        if words & FORMATTING:
            self._guard_templates()
        if "string" in imported or "string.Formatter" in imported:
            self._guard_formatters()
        if "operator.attrgetter" in imported or ("operator" in imported and "attrgetter" in words):
            self._guard_getters()
        if any(name.partition(".")[0] == "dataclasses" for name in imported):
            _guard_fields()
        if any(name.startswith("unittest.mock") for name in imported) or ("unittest" in imported and "mock" in words):
            self._guard_patches()

    def check_target(self, target: Any) -> None:
        """End the run for what is to be replaced by a text that the suite neither holds nor makes of its own name."""
        if type(target) is not str or self._texts.are_own(target) or target in self._approved:
            return
        root, _, rest = target.partition(".")
        if root in self._modules or (root in SUITE and self._texts.ends_own(f".{rest}")):
            return
        self._refuse(f"it replaces {target[:100]!r}, which does not stand in it: among the tests, only they say what")

    def _check_attribute(self, name: Any, text: str) -> None:
        if isinstance(name, str) and name.startswith("_") and not self._texts.are_own(text):
            raise AttributeError(f"{name[:100]}: a text that is not the tests' own looks up no name like this")

    def _check_template(self, template: str, whole: str, depth: int = DEPTH) -> None:
        for _, field, specification, _ in formatter_parser(template):
            if field:
                for is_attribute, name in formatter_field_name_split(field)[1]:
                    if is_attribute:
                        self._check_attribute(name, whole)
            if specification and depth:
                self._check_template(specification, whole, depth - 1)

    def _checked_template(self, template: Any) -> None:
        text = str.__str__(template)
        try:
            self._check_template(text, text)
        except ValueError:  # no template: format says so itself
            return

    def _guard_templates(self) -> None:
        """`x.format` where `x` does not stand in the suite becomes a call that looks at `x`."""
        if _changed(self._suite.nodes):
            self._suite.change({FORMAT: self._format_of})
        if self._suite.examples is not None:
            self._guard_examples()

    def _guard_examples(self) -> None:
        """Examples are compiled one by one, as they are written."""
        doctest: Any = sys.modules["doctest"]
        builtins.__dict__[FORMAT] = self._format_of

        def compiled(source: str, name: str, mode: str, flags: int, *more: Any) -> Any:
            tree = compile(source, name, mode, flags | PyCF_ONLY_AST, *more)
            _changed(every(tree))
            return compile(tree, name, mode, flags, *more)

        doctest.compile = compiled

    def _format_of(self, value: Any, name: str) -> Any:
        method = getattr(value, name)
        if not isinstance(value, str) and value is not str:
            return method

        def formatted(*arguments: Any, **named: Any) -> Any:
            template = arguments[0] if value is str and arguments else value
            if isinstance(template, str):
                self._checked_template(template)
            return method(*arguments, **named)

        return formatted

    def _guard_formatters(self) -> None:
        import string  # noqa: PLC0415 - only suites that use it pay

        find = string.Formatter.get_field

        def found(this: Any, field: Any, *more: Any) -> Any:
            for is_attribute, name in formatter_field_name_split(field)[1]:
                if is_attribute and name.startswith("_") and not self._texts.hold(field):
                    self._check_attribute(name, field)
            return find(this, field, *more)

        string.Formatter.get_field = found  # type: ignore[method-assign]

    def _guard_getters(self) -> None:
        import operator  # noqa: PLC0415 - as above

        made = operator.attrgetter

        def getter(*paths: Any) -> Any:
            for path in paths:
                if isinstance(path, str):
                    for name in str.__str__(path).split("."):
                        self._check_attribute(name, str.__str__(path))
            return made(*paths)

        operator.attrgetter = getter  # type: ignore[assignment,misc]

    def _guard_patches(self) -> None:
        from unittest import mock  # noqa: PLC0415 - as above

        library: Any = mock
        find, resolve = library._get_target, library.pkgutil.resolve_name  # noqa: SLF001 - no public word

        def found(target: Any) -> Any:
            self.check_target(target)
            if isinstance(target, str):
                self._approved.add(target.rpartition(".")[0])
            return find(target)

        def resolved(name: Any) -> Any:
            if sys._getframe(1).f_globals.get("__name__") == "unittest.mock":  # noqa: SLF001 - others may ask for it too
                self.check_target(name)
            return resolve(name)

        library._get_target, library.pkgutil.resolve_name = found, resolved  # noqa: SLF001 - as above


def _changed(nodes: list[Any]) -> bool:
    """Have what formats asked for by a call, in a tree of these nodes; whether there is any."""
    places = [
        (owner, field, value, node)
        for owner in nodes
        for field, value in vars(owner).items()
        for node in (value if isinstance(value, list) else [value])
        if isinstance(node, Attribute) and node.attr in FORMATTING and isinstance(node.ctx, Load)
        if not isinstance(node.value, Constant)
    ]
    for owner, field, value, node in places:
        asked = _placed(Call(_placed(Name(FORMAT, Load()), node), [node.value, _text(node)], []), node)
        if isinstance(value, list):
            value[value.index(node)] = asked
        else:
            setattr(owner, field, asked)
    return bool(places)


def _guard_fields() -> None:
    """Data classes make a program of the names of their fields, and look at few of them."""
    import dataclasses  # noqa: PLC0415 - only suites that use it pay

    library: Any = dataclasses
    make = library._get_field  # noqa: SLF001 - where every field comes along

    def made(kind: Any, name: Any, *more: Any) -> Any:
        if type(name) is not str or not name.isidentifier():
            raise TypeError(f"Field names must be valid identifiers: {str(name)[:100]!r}")
        return make(kind, name, *more)

    library._get_field = made  # noqa: SLF001 - as above


def _text(node: Any) -> Any:
    return _placed(Constant(node.attr), node)


def _placed(node: Any, like: Any) -> Any:
    for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
        setattr(node, name, getattr(like, name))
    return node
