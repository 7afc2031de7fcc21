"""How a plain program ended, in the words of the contract."""

import re
import signal

from prismenv.isolation.judgement import LIMIT_OUTCOMES, stop_reason
from prismenv.isolation.language import LanguageProfile
from prismenv.isolation.launch import Ending
from prismenv.isolation.report import printable
from prismenv.isolation.transcript import ProgramTalk
from prismenv.words.limits import Limits
from prismenv.words.verdict import Execution, Isolation

LAST_LINES = 60  # of error output: a trace of native code, or of deep calls
OUTCOMES = {"timed_out", "out_of_memory", "output_limit"}


def execution(
    ending: Ending, talk: ProgramTalk, profile: LanguageProfile, limits: Limits, isolation: Isolation
) -> Execution:
    """The record of a run that `ending` and `talk` tell of."""
    outcome, message = _outcome(ending, talk, limits)
    stderr = printable(ending.stderr)
    hit = [ending.stopped_by] if ending.stopped_by in LIMIT_OUTCOMES else []
    by_itself = ending.stopped_by is None and outcome in ("exited", "crashed")
    if by_itself and ending.status and _ran_out_of_memory(stderr, profile):
        outcome, message, hit = "out_of_memory", "it used more memory than it may", ["memory_bytes"]
    if ending.status == -signal.SIGXFSZ:
        hit = ["file_bytes"]
    known = ending.status is not None and ending.status >= 0 and outcome in ("exited", "out_of_memory")
    return Execution(
        outcome=outcome,
        exit_code=ending.status if known else None,
        stdout=printable(ending.stdout),
        stderr=stderr,
        message=message,
        limits_hit=tuple(hit),
        cpu_seconds=ending.cpu_seconds,
        wall_seconds=ending.wall_seconds,
        isolation=isolation,
    )


def _outcome(ending: Ending, talk: ProgramTalk, limits: Limits) -> tuple[str, str]:
    if ending.status is None or talk.unstarted or ending.stopped_by in ("start", "protocol", "stop"):
        return "infrastructure_error", talk.unstarted or ending.message or "the program could not be started"
    if ending.stopped_by is not None:
        outcome = LIMIT_OUTCOMES[ending.stopped_by]
        return outcome if outcome in OUTCOMES else "crashed", stop_reason(ending, limits)
    if talk.begun_at is None:
        return "infrastructure_error", f"the guest ended before the program began: {stop_reason(ending, limits)}"
    if ending.status < 0:
        return "crashed", stop_reason(ending, limits)
    return "exited", ""


def _ran_out_of_memory(stderr: str, profile: LanguageProfile) -> bool:
    """Whether what it said at its end is that. Behind it may come a trace of where the program was."""
    if not profile.out_of_memory:
        return False
    last = stderr.rstrip().split("\n")[-LAST_LINES:]
    return any(re.search(profile.out_of_memory, line) for line in last)
