"""What the solution logs is told where the tests listen: in the judge's process.

Only where the suite asks for it (assertLogs, or the module by name). In the solution's process the module is made to
tell; in the judge's, a record goes to the logger of the same name. What is told is text: nothing of it is taken for
more. Warnings are told always, and given again here, where the tests' filters are.
"""

from typing import Any

from split_codec import MalformedError, wants

LISTENING = {
    "logging": frozenset({"assertLogs", "assertNoLogs", "logging", "getLogger"}),
}
MOST_LOGGERS = 1000


def listening(words: set[str]) -> list[str]:
    """The modules that a suite listens to, by the names and attributes that it uses."""
    return [module for module, signs in LISTENING.items() if signs & words]


# ---- in the solution's process


def tell(link: Any, modules: list[str]) -> None:
    """Make those modules tell the judge."""
    if "logging" in modules:
        _tell_logs(link)


def _tell_logs(link: Any) -> None:
    import logging  # noqa: PLC0415 - only suites that listen pay

    kind = logging.Logger
    is_enabled, handle = kind.isEnabledFor, kind.callHandlers

    def asks(self: Any, level: int) -> bool:
        return is_enabled(self, level) or bool(link.notice("enabled", self.name, level, ""))

    def tells(self: Any, record: Any) -> None:
        taken = link.notice("log", record.name, record.levelno, record.getMessage())
        if self.hasHandlers() or not taken:
            handle(self, record)

    kind.isEnabledFor, kind.callHandlers = asks, tells  # type: ignore[method-assign]


# ---- in the judge's process


class Listener:
    """Takes what is told. MalformedError for what is nothing of the kind."""

    def __init__(self) -> None:
        self._loggers: set[str] = set()

    def take(self, kind: Any, what: Any, number: Any, text: Any) -> bool:
        """One notice; whether somebody listens."""
        wants(number, int)
        self._loggers.add(wants(what, str))
        if len(self._loggers) > MOST_LOGGERS or kind not in ("enabled", "log"):
            raise MalformedError("more loggers than there can be, or no notice")
        return self._log(kind, what, number, wants(text, str))

    @staticmethod
    def _log(kind: str, name: str, level: int, text: str) -> bool:
        import logging  # noqa: PLC0415 - only who listens pays

        logger = logging.getLogger(name)
        enabled = logger.isEnabledFor(level)
        if kind == "enabled":
            return enabled
        if logger.hasHandlers() and (enabled or not logger.level):
            logger.handle(logging.LogRecord(name, level, "solution.py", 0, text, None, None))
        return logger.hasHandlers()


def warned(category: Any, text: str, line: int) -> Warning | None:
    """Warn here of what was warned of there. Gives the error that a filter of the tests makes of it, None for none."""
    if not isinstance(category, type) or not issubclass(category, Warning):
        raise MalformedError("a warning of a class that is none")
    import warnings  # noqa: PLC0415 - only who is warned pays

    try:
        warnings.warn_explicit(text, category, "solution.py", line, module="solution")
    except Warning as error:  # nobody to raise it to
        return error
    return None
