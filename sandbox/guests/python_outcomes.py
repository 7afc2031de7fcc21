"""How a test in pytest's style ends itself, and how it expects exceptions and warnings."""

import re
import sys
from collections.abc import Iterator
from typing import Any, NoReturn, Self

IGNORED = object()  # for an argument that says nothing here


class OutcomeError(BaseException):
    """A test ends itself in a way of its own. No `except Exception` of a test catches it."""

    def __init__(self, msg: str = "") -> None:
        super().__init__(msg)
        self.msg = msg


class Skipped(OutcomeError):
    """The test does not apply."""


class Failed(OutcomeError):
    """The test has failed."""


class XFailed(OutcomeError):
    """The test says of itself that it cannot pass."""


def skip(reason: str = "", *, allow_module_level: Any = IGNORED) -> NoReturn:  # noqa: ARG001 - a suite is one module
    """End this test: it does not apply."""
    raise Skipped(reason)


def fail(reason: str = "", pytrace: Any = IGNORED) -> NoReturn:  # noqa: ARG001 - the report is one and the same
    """End this test: it has failed."""
    raise Failed(reason)


def xfail(reason: str = "") -> NoReturn:
    """End this test: it is known that it cannot pass."""
    raise XFailed(reason)


for _function, _error in ((skip, Skipped), (fail, Failed), (xfail, XFailed)):
    _function.Exception = _error  # type: ignore[attr-defined]


def importorskip(modname: str, minversion: Any = IGNORED, reason: str | None = None, **_: Any) -> Any:  # noqa: ARG001
    """The module, or the end of this test when it is not there."""
    try:
        __import__(modname)
    except ImportError as error:
        raise Skipped(reason or f"could not import {modname!r}: {error}") from None
    return sys.modules[modname]


class Raises:
    """`pytest.raises` and what it gives: a context manager that knows the exception once it was raised."""

    def __init__(self, expected: Any, match: Any = None, check: Any = None) -> None:
        self.expected = expected
        for each in expected if isinstance(expected, tuple) else (expected,):
            if not isinstance(each, type):
                raise TypeError(f"expected exception must be a type, not {type(each).__name__}")
        self._pattern = match
        self._check = check
        self.value: Any = None
        self.tb: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> bool:  # noqa: PYI036 - of a remote class, too
        if kind is None:
            raise Failed(f"DID NOT RAISE {_named(self.expected)}")
        if not issubclass(kind, self.expected):
            return False
        self.value, self.tb = value, trace
        if self._pattern is not None:
            self.match(self._pattern)
        if self._check is not None and not self._check(value):
            raise AssertionError("the check of the exception did not return True")
        return True

    @property
    def type(self) -> Any:
        """The exception's class."""
        return type(self.value)

    @property
    def typename(self) -> str:
        """The name of the exception's class."""
        return str(type(self.value).__name__)

    def match(self, pattern: Any) -> bool:
        """AssertionError unless `pattern` is found in the exception's text."""
        text = "\n".join([str(self.value), *getattr(self.value, "__notes__", ())])
        if not re.search(pattern, text):
            shown = pattern if isinstance(pattern, str) else pattern.pattern
            raise AssertionError(
                f"Regex pattern did not match.\n  Expected regex: {shown!r}\n  Actual message: {text[:300]!r}"
            )
        return True

    def exconly(self, tryshort: Any = IGNORED) -> str:  # noqa: ARG002 - it is short
        """`Type: message`."""
        return f"{self.typename}: {self.value}"


def raises(expected_exception: Any, *args: Any, match: Any = None, check: Any = None, **kwargs: Any) -> Any:
    """Expect an exception, of a `with` block or of a call."""
    context = Raises(expected_exception, match, check)
    if not args:
        if kwargs:
            raise TypeError(f"pytest.raises knows no argument {', '.join(kwargs)}")
        return context
    with context:
        args[0](*args[1:], **kwargs)
    return context


class Warns:
    """`pytest.warns`: a context manager, the list of warnings that were given."""

    def __init__(self, expected: Any, match: Any) -> None:
        import warnings  # noqa: PLC0415 - only a suite that asks for warnings pays for it

        self._expected = expected
        self._pattern = match
        self._catcher = warnings.catch_warnings(record=True)
        self._always = warnings.simplefilter
        self.list: list[Any] = []

    def __enter__(self) -> Self:
        recorded = self._catcher.__enter__()
        self.list = [] if recorded is None else recorded
        self._always("always")
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:  # noqa: PYI036 - as above
        self._catcher.__exit__(kind, value, trace)
        if kind is not None:
            return
        fitting = [each for each in self.list if issubclass(each.category, self._expected)]
        if not fitting:
            raise Failed(f"DID NOT WARN. No warnings of type {_named(self._expected)} were emitted")
        if self._pattern and not any(re.search(self._pattern, str(each.message)) for each in fitting):
            raise Failed(f"DID NOT WARN. No warnings matching {self._pattern!r} were emitted")

    def __getitem__(self, index: int) -> Any:
        return self.list[index]

    def __len__(self) -> int:
        return len(self.list)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.list)


def warns(expected_warning: Any = Warning, *args: Any, match: Any = None, **kwargs: Any) -> Any:
    """Expect a warning, of a `with` block or of a call."""
    context = Warns(expected_warning, match)
    if not args:
        return context
    with context:
        return args[0](*args[1:], **kwargs)


def deprecated_call(*args: Any, match: Any = None, **kwargs: Any) -> Any:
    """Expect a warning of deprecation."""
    kinds = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
    return warns(kinds, *args, match=match, **kwargs)


def _named(expected: Any) -> str:
    kinds = expected if isinstance(expected, tuple) else (expected,)
    return " or ".join(str(getattr(kind, "__name__", kind)) for kind in kinds)
