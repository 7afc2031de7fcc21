"""The end of code that does not return, see engine/blocked.py."""


class CodeStopped(BaseException):
    """Raised in the midst of code that does not return, so that it ends. No Exception: it is not for that code.

    The message says which code it was.
    """


def code_stopped(error: BaseException) -> CodeStopped | None:
    """The CodeStopped that an error or a group is or holds."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := code_stopped(inner))), None)
    return error if isinstance(error, CodeStopped) else None
