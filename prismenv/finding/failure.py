"""Why somebody else's code could not be loaded, in one line that names the place."""

import linecache
import re
import traceback
from pathlib import Path

from prismenv.words.errors import EnvironmentException

# Modules of PrismBench that its plugins import from, and the names of theirs that are ours too.
_FOREIGN = re.compile(r"\bsrc\.(services\.)?environment\b|[ .]\.(environment_registry|base_environment)\b")
_OURS = ("BaseEnvironment", "ChallengeResults", "environment_registry")


def explain(error: BaseException, folder: Path | None = None) -> str:
    """What went wrong and where: the last line within `folder` (None: anywhere) that it passed through."""
    if isinstance(error, EnvironmentException):
        return str(error)
    linecache.checkcache()  # a file that was corrected since is shown as it is now
    if isinstance(error, SyntaxError) and error.filename:
        shown = (error.text or linecache.getline(error.filename, error.lineno or 0)).strip()
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}" + (f": {shown}" if shown else "")
    frame = _frame(error, folder)
    place = f"{frame.filename}:{frame.lineno}: " if frame else ""
    if isinstance(error, ModuleNotFoundError) and frame and _FOREIGN.search(frame.line or ""):
        names = [name for name in _OURS if re.search(rf"\bimport\b.*\b{name}\b", frame.line or "")]
        right = f"from prismenv import {', '.join(names or ['environment_registry'])}"
        return f"{place}this imports from PrismBench's own modules; change this line to: {right}"
    if isinstance(error, SystemExit):
        return f"{place}it ends the process while it is imported (SystemExit: {error.code})"
    return f"{place}{type(error).__name__}: {error}"


def _frame(error: BaseException, folder: Path | None) -> traceback.FrameSummary | None:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if folder is None or folder in Path(frame.filename).parents]
    return own[-1] if own else None
