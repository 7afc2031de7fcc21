"""The fixtures that every suite has: tmp_path, monkeypatch, capsys and their like."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

MISSING: Any = object()


class MonkeyPatch:
    """Changes what the test asks for, and puts it back at the test's end."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], Any]] = []
        self._folder: str | None = None
        self._search: list[str] | None = None

    @classmethod
    @contextmanager
    def context(cls) -> Iterator["MonkeyPatch"]:
        """One of its own for a `with` block."""
        patch = cls()
        try:
            yield patch
        finally:
            patch.undo()

    def setattr(self, target: Any, name: Any, value: Any = MISSING, raising: bool = True) -> None:  # noqa: FBT001, FBT002
        """Set an attribute, of an object or by a dotted name."""
        if value is MISSING:
            target, name, value = *named_place(target), name
        before = self._attribute(target, name, raising)
        setattr(target, name, value)
        self._undo.append(lambda: delattr(target, name) if before is MISSING else setattr(target, name, before))

    def delattr(self, target: Any, name: Any = MISSING, raising: bool = True) -> None:  # noqa: FBT001, FBT002
        """Delete an attribute, of an object or by a dotted name."""
        if name is MISSING:
            target, name = named_place(target)
        before = self._attribute(target, name, raising)
        if before is not MISSING:
            delattr(target, name)
            self._undo.append(lambda: setattr(target, name, before))

    def setitem(self, mapping: Any, name: Any, value: Any) -> None:
        """Set an entry of a mapping."""
        before = mapping.get(name, MISSING)
        mapping[name] = value
        self._undo.append(lambda: mapping.pop(name, None) if before is MISSING else mapping.__setitem__(name, before))

    def delitem(self, mapping: Any, name: Any, raising: bool = True) -> None:  # noqa: FBT001, FBT002
        """Delete an entry of a mapping."""
        if name not in mapping:
            if raising:
                raise KeyError(name)
            return
        before = mapping[name]
        del mapping[name]
        self._undo.append(lambda: mapping.__setitem__(name, before))

    def setenv(self, name: str, value: str, prepend: str | None = None) -> None:
        """Set a variable of the environment."""
        if prepend and name in os.environ:
            value = value + prepend + os.environ[name]
        self.setitem(os.environ, name, str(value))

    def delenv(self, name: str, raising: bool = True) -> None:  # noqa: FBT001, FBT002
        """Delete a variable of the environment."""
        self.delitem(os.environ, name, raising)

    def chdir(self, path: Any) -> None:
        """Change the current folder."""
        before = os.getcwd()  # noqa: PTH109 - as it is to be given back
        os.chdir(path)
        self._undo.append(lambda: os.chdir(before))

    def syspath_prepend(self, path: Any) -> None:
        """Look for modules in a folder first."""
        before = sys.path[:]
        sys.path.insert(0, str(path))
        self._undo.append(lambda: sys.path.__setitem__(slice(None), before))

    def undo(self) -> None:
        """Put everything back, the last change first."""
        while self._undo:
            self._undo.pop()()

    @staticmethod
    def _attribute(target: Any, name: str, raising: bool) -> Any:  # noqa: FBT001
        before = getattr(target, name, MISSING)
        if raising and before is MISSING:
            raise AttributeError(f"{target!r} has no attribute {name!r}")
        return target.__dict__.get(name, MISSING) if isinstance(target, type) else before


def named_place(dotted: Any) -> tuple[Any, str]:
    """The object and the name of its attribute that a dotted name means."""
    if not isinstance(dotted, str) or "." not in dotted:
        raise TypeError(f"must be absolute import path string, not {dotted!r}")
    path, _, name = dotted.rpartition(".")
    parts = path.split(".")
    found: Any = __import__(parts[0])
    for index, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            __import__(".".join(parts[:index]))
        found = getattr(found, part)
    return found, name


class Captured(NamedTuple):
    """What readouterr() gives."""

    out: str
    err: str


class CaptureFixture:
    """Takes what is printed; what nobody reads is printed after all when the test ends."""

    def __class_getitem__(cls, _kind: Any) -> type:
        return cls  # `CaptureFixture[str]` in an annotation

    def __init__(self) -> None:
        self._real = sys.stdout, sys.stderr
        self._start()

    def readouterr(self) -> Captured:
        """What was printed since the last time."""
        return Captured(*[self._take(stream) for stream in self._streams])

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Print for real in a `with` block."""
        sys.stdout, sys.stderr = self._real
        try:
            yield
        finally:
            sys.stdout, sys.stderr = self._streams

    def close(self) -> None:
        """Give the streams back."""
        left = self.readouterr()
        sys.stdout, sys.stderr = self._real
        for stream, text in zip(self._real, left, strict=True):
            stream.write(text)

    def _start(self) -> None:
        self._streams = tuple(
            io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", "", write_through=True) for _ in range(2)
        )
        sys.stdout, sys.stderr = self._streams

    @staticmethod
    def _take(stream: Any) -> str:
        stream.flush()
        data = stream.buffer.getvalue()
        stream.buffer.seek(0)
        stream.buffer.truncate()
        return str(data.decode("utf-8", "replace"))


class TempPathFactory:
    """Makes folders; the sandbox removes them."""

    def mktemp(self, basename: str, numbered: bool = True) -> Any:  # noqa: FBT001, FBT002
        """A new folder."""
        from pathlib import Path  # noqa: PLC0415 - only suites that ask for folders pay for it
        from tempfile import gettempdir, mkdtemp  # noqa: PLC0415 - as above

        if numbered:
            return Path(mkdtemp(prefix=f"{basename}-"))
        path = Path(gettempdir(), basename)
        path.mkdir()
        return path


def tmp_path() -> Any:
    """A folder of the test's own."""
    return TempPathFactory().mktemp("test")


# What makes each, the scope that it lives in, and what ends it.
BUILTIN: dict[str, tuple[Callable[[], Any], str, str]] = {
    "tmp_path": (tmp_path, "function", ""),
    "tmp_path_factory": (TempPathFactory, "module", ""),
    "monkeypatch": (MonkeyPatch, "function", "undo"),
    "capsys": (CaptureFixture, "function", "close"),
}
TYPES = {"MonkeyPatch": MonkeyPatch, "CaptureFixture": CaptureFixture, "TempPathFactory": TempPathFactory}
