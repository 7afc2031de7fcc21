"""How the Python guest tells of exceptions: the same words on every version and machine, no harness frames."""

import sys
from types import TracebackType

SHORT_CHARACTERS = 500
DETAIL_CHARACTERS = 4000
MOST_FRAMES = 12
MOST_CAUSES = 3
SUITE = "tests.py"
HIDDEN = ("<prismenv", "<frozen importlib.")  # what runs code is not where it failed


def clipped(text: str, most: int) -> str:
    """`text`, its middle left out where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half} characters left out) ...\n{text[-half:]}"


class Reporter:
    """Formats exceptions with the source lines of the files that it was given: the suite's and the solution's."""

    def __init__(self, sources: dict[str, str]) -> None:
        self._lines: dict[str, list[str]] = {}
        self._sources = sources
        self._libraries = sorted({path for path in sys.path if path}, key=len, reverse=True)

    def short(self, error: BaseException) -> str:
        """`Type: message` in at most a few hundred characters; an exception that cannot be printed is said to be so."""
        name = type(error).__qualname__
        try:
            text = self._syntax(error) if isinstance(error, SyntaxError) else str(error)
        except BaseException:
            text = "(the exception cannot be printed)"
        return clipped(f"{name}: {text}" if text else name, SHORT_CHARACTERS)

    def detail(self, error: BaseException) -> str:
        """A traceback with its causes, oldest cause first, frames of the harness and of unittest left out."""
        parts: list[str] = []
        seen: set[int] = set()
        current: BaseException | None = error
        while current is not None and id(current) not in seen and len(parts) < MOST_CAUSES:
            seen.add(id(current))
            parts.append(self._one(current))
            follow = current.__cause__
            if follow is None and not current.__suppress_context__:
                follow = current.__context__
            current = follow
        return clipped("\n\nand then, while that was handled:\n\n".join(reversed(parts)), DETAIL_CHARACTERS)

    def touches_solution(self, trace: TracebackType | None) -> bool:
        """True when a frame of the solution is on the way to where the exception was raised."""
        while trace is not None:
            if (name := trace.tb_frame.f_code.co_filename) in self._sources and name != SUITE:
                return True
            trace = trace.tb_next
        return False

    def _one(self, error: BaseException) -> str:
        frames: list[str] = []
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            if not code.co_filename.startswith(HIDDEN) and "/unittest/" not in code.co_filename:
                frames.append(self._frame(code.co_filename, trace.tb_lineno, code.co_name))
            trace = trace.tb_next
        # Of an exception that came from another process: where it was raised there.
        frames += [_placed(*place) for place in getattr(error, "__dict__", {}).get("_prismenv_frames", ())]
        if len(frames) > MOST_FRAMES:
            left_out = len(frames) - MOST_FRAMES
            half = MOST_FRAMES // 2
            frames = [*frames[:half], f"  ... {left_out} frames left out ...", *frames[-half:]]
        head = ["Traceback (most recent call last):"] if frames else []
        return "\n".join([*head, *frames, self.short(error)])

    def _frame(self, filename: str, line: int, function: str) -> str:
        for library in self._libraries:
            if filename.startswith(library + "/"):
                filename = filename[len(library) + 1 :]
                break
        return _placed(filename, line, function, self._line(filename, line))

    def _line(self, filename: str, line: int) -> str:
        if filename not in self._sources:
            return ""
        if filename not in self._lines:
            self._lines[filename] = self._sources[filename].split("\n")
        lines = self._lines[filename]
        return lines[line - 1].strip()[:200] if 0 < line <= len(lines) else ""

    def _syntax(self, error: SyntaxError) -> str:
        if error.filename not in self._sources or not error.lineno:
            return str(error)
        text = self._line(error.filename, error.lineno) or (error.text or "").strip()
        return f"{error.msg} ({error.filename}, line {error.lineno}: {text})"


def _placed(filename: str, line: int, function: str, text: str) -> str:
    place = f'  File "{filename}", line {line}, in {function}'
    return f"{place}\n    {text}" if text else place
