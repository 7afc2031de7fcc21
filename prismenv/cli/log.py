"""Where log lines go: to standard error, so that standard output stays whole for machines."""

import sys
from collections.abc import Mapping
from typing import Any

from loguru import logger

from prismenv.finding.variables import LOG_VARIABLE
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean
from prismenv.words.visible import visible

LEVELS = ("debug", "info", "warning", "error")


def open_log(environ: Mapping[str, str]) -> None:
    """Log warnings and worse, or what PRISMENV_LOG names; ConfigurationException when it names no level."""
    level = (environ.get(LOG_VARIABLE) or "warning").lower()
    if level not in LEVELS:
        raise ConfigurationException(
            f"{LOG_VARIABLE}={level!r} is no level; levels are {', '.join(LEVELS)}{did_you_mean(level, LEVELS)}",
            subject=LOG_VARIABLE,
        )
    logger.remove()
    logger.add(_write, level=level.upper(), format="{message}", colorize=False, backtrace=False, diagnose=False)


def _write(message: Any) -> None:
    # Looked up each time: a progress bar puts itself before sys.stderr, so that lines appear above it.
    # Further lines of what an author or a client said are indented: else they would pass for lines of the log's own.
    text = visible(message).rstrip("\n").replace("\n", "\n  ")
    sys.stderr.write(f"{message.record['level'].name.lower()}: {text}\n")
