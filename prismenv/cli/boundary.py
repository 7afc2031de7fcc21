"""The one boundary around the commands: errors become a message and an exit code here and nowhere else."""

import os
from typing import Any

import typer
from typer.core import TyperGroup

from prismenv.cli.log import open_log
from prismenv.cli.terminal import EXIT_BROKEN_PIPE, EXIT_INFRASTRUCTURE, EXIT_INTERRUPTED, EXIT_USAGE, complain
from prismenv.words.codestopped import CodeStopped, code_stopped
from prismenv.words.errors import BudgetException, ConfigurationException, EnvironmentException, RegistryException

# A run or a store that was named and is not there is a slip of the user's, though it is the store that tells of it.
_USAGE_CODES = {"unknown_run", "store_missing", "store_url", "store_driver", "store_unsupported"}


class Commands(TyperGroup):
    """The commands of prismenv."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            open_log(os.environ)
            return super().invoke(ctx)
        except (OSError, EnvironmentException, CodeStopped, BaseExceptionGroup) as error:
            raise typer.Exit(_explain(_single(error))) from error


def _single(error: BaseException) -> BaseException:
    """The one error that a group stands for: an interrupt, else the first of ours in it, else the first."""
    if (stopped := code_stopped(error)) is not None:
        return stopped
    while isinstance(error, BaseExceptionGroup):
        ours = [inner for inner in error.exceptions if isinstance(inner, EnvironmentException)]
        error = (ours or error.exceptions)[0]
    return error


def _explain(error: BaseException) -> int:
    """Say what went wrong, and which exit code that is. What nobody foresaw is raised again."""
    if isinstance(error, BrokenPipeError):
        return EXIT_BROKEN_PIPE
    if isinstance(error, CodeStopped):
        complain(str(error))
        return EXIT_INTERRUPTED
    if isinstance(error, EnvironmentException):
        complain(str(error))
        usage = isinstance(error, ConfigurationException | RegistryException | BudgetException)
        return EXIT_USAGE if usage or error.code in _USAGE_CODES else EXIT_INFRASTRUCTURE
    if isinstance(error, OSError):
        complain(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
        return EXIT_INFRASTRUCTURE
    raise error
