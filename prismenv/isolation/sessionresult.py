"""How a call of a session ended, in the words of the contract."""

import signal

from prismenv.isolation.launch import Exit
from prismenv.isolation.report import clipped, printable
from prismenv.isolation.sessioncall import CallEnd
from prismenv.words.coderesult import CallOutcome, CodeError, CodeResult
from prismenv.words.limits import Limits

SHOWN_CHARACTERS = 200_000
MESSAGE_CHARACTERS = 10_000
OUTCOME_OF: dict[str, CallOutcome] = {
    "wall_seconds": "timed_out",
    "cpu_seconds": "timed_out",
    "output_bytes": "output_limit",
    "memory_bytes": "out_of_memory",
    "all_memory": "out_of_memory",
    "processes": "process_limit",
    "protocol": "crashed",
    "stop": "interrupted",
}


def code_result(end: CallEnd, limits: Limits) -> CodeResult:
    """The record of a call that came to `end`."""
    outcome, error, exit_code = _told(end) if end.told is not None else _untold(end, limits)
    if end.reason is not None and not end.broken:
        outcome = OUTCOME_OF[end.reason]
        error = _error_of_limit(end, limits, error)
    result = end.told[1] if end.told is not None and outcome == "finished" else None
    hit = end.reason if end.reason not in ("protocol", "stop", None) else None
    if outcome == "out_of_memory" and hit is None:
        hit = "memory_bytes"
    return CodeResult(
        outcome=outcome,
        stdout=_text(printable(end.stdout)),
        stderr=_text(printable(end.stderr)),
        result=None if result is None else _text(clipped(result, SHOWN_CHARACTERS)),
        error=error,
        exit_code=exit_code,
        duration=end.wall_seconds,
        cpu_seconds=end.cpu_seconds,
        limits_hit=() if hit is None else (hit,),
        output_cut=end.output_cut,
        session_ended=end.exit is not None or bool(end.broken),
    )


def why_ended(end: CallEnd, result: CodeResult) -> str | None:
    """Why the session ended with this call, in words; None when it goes on."""
    if not result.session_ended:
        return None
    said = result.error.message if result.error is not None else ""
    return end.broken or said or "its process ended after the answer of its last call"


def _told(end: CallEnd) -> tuple[CallOutcome, CodeError | None, int | None]:
    outcome, _, error = end.told or ["infrastructure_error", None, None]
    if error is None:
        return outcome, None, None
    name, message, trace, code = error
    if name == "MemoryError":
        outcome = "out_of_memory"
    texts = (clipped(name, 200), clipped(message, MESSAGE_CHARACTERS), clipped(trace or "", SHOWN_CHARACTERS))
    return outcome, CodeError(**dict(zip(("name", "message", "traceback"), map(_text, texts), strict=True))), code


def _untold(end: CallEnd, limits: Limits) -> tuple[CallOutcome, CodeError | None, int | None]:
    """Of a call without an answer, where no limit that is watched here is the reason."""
    if end.broken or end.exit is None or (end.exit.status is None and end.reason is None):
        message = end.broken or (end.exit.message if end.exit is not None else "") or "nobody knows how it ended"
        return "infrastructure_error", CodeError(name="SandboxError", message=message), None
    status = end.exit.status
    if end.reason is None and status is not None and status >= 0:
        message = f"the code ended its process with exit code {status}; the session is over"
        return "exited", CodeError(name="ProcessExit", message=message), status
    if end.out_of_memory:
        message = f"it used more than {limits.memory_bytes} bytes of memory; the session is over"
        return "out_of_memory", CodeError(name="MemoryLimit", message=message), None
    return "crashed", CodeError(name="Crash", message=f"{_signal_of(end.exit)}; the session is over"), None


def _signal_of(exit_: Exit) -> str:
    if exit_.status is None or exit_.status >= 0:
        return "its process ended"
    try:
        return f"its process was ended by {signal.Signals(-exit_.status).name}"
    except ValueError:
        return f"its process was ended by signal {-exit_.status}"


def _error_of_limit(end: CallEnd, limits: Limits, told: CodeError | None) -> CodeError:
    """What the parent did, and why; with the traceback of where the code was, where it told one."""
    names = {
        "wall_seconds": ("TimeLimit", f"it took longer than {limits.wall_seconds:g} s"),
        "cpu_seconds": ("TimeLimit", f"it used more than {limits.cpu_seconds:g} s of CPU time"),
        "output_bytes": ("OutputLimit", f"it printed more than {limits.output_bytes} bytes"),
        "memory_bytes": ("MemoryLimit", f"it used more than {limits.memory_bytes} bytes of memory"),
        "all_memory": ("MemoryLimit", "all open sessions together hold more memory than they may"),
        "processes": (
            "ProcessLimit",
            end.message or f"it had more than {limits.processes} processes, or their threads",
        ),
        "protocol": ("ProtocolError", f"what was said on the channel of results was no answer: {end.message}"),
        "stop": ("Interrupted", "it was interrupted"),
    }
    name, message = names[end.reason or "stop"]
    asked = end.reason in ("wall_seconds", "cpu_seconds", "output_bytes", "stop")
    if end.exit is not None:
        ignored = asked and end.told is None and end.exit.status == -signal.SIGKILL
        message += ", did not heed the interrupt, and the session is over" if ignored else "; the session is over"
    elif asked and end.reason != "stop" and told is not None and told.name == "KeyboardInterrupt":
        message += " and was interrupted"
    return CodeError(name=name, message=message, traceback=told.traceback if told is not None else "")


def _text(text: str) -> str:
    """As it is but for halves of surrogate pairs, which nobody could encode."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
