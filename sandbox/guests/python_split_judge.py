"""The judge's process of a split verdict: runs the tests; the solution is in another process, behind a bridge.

Theory of operation
    As in the one-process judge (python_guest) the parent sends this harness and one payload, and reads frames. The
    solution in it is text to show and to look at, it is never run here. Descriptor 3 is the bridge to the solution's
    process. This side reads the suite's syntax tree, counts its tests, tells the other side to load the solution, and
    gives the suite stand-ins for what is there. Whatever the tests do with a stand-in is asked over the bridge, by a
    format whose decoder cannot execute anything (split_codec); what the solution may ask in return is little
    (split_grants).

    So whatever the solution does to its own process, it cannot touch a test, an expected value or a result. If it ends,
    that is told as `lost`; if it sends what does not belong, as `forgery`. Both end the run at once, from wherever it
    is: the tests are not asked.
"""

import posix
from _warnings import filters as warning_filters
from collections.abc import Callable
from types import ModuleType
from typing import Any

from guest_process import limit_process, move_out_of_reach, open_channel, reserve_memory
from python_guest import judge
from python_output import Flush
from python_suite import Suite
from split_judge_link import JudgeLink
from split_wire import Wire
from split_world import RemoteWorld

BRIDGE = 3
_ready: list[JudgeLink] = []
TOLD_WITH = frozenset({"forgery", "unsplit"})  # endings that say why


class Judge:
    """One run: `send` tells the parent, `leave` ends the process."""

    def __init__(self, payload: dict[str, Any], send: Callable[..., None], leave: Callable[[int], Any]) -> None:
        self._payload = payload
        self._send = send
        self._leave = leave
        self._flush = Flush()

    def end(self, kind: str, message: str) -> Any:
        """Tell why the run is over and leave, whoever is waiting for an answer."""
        self._flush()
        self._send(kind, *([message] if kind in TOLD_WITH else []))
        self._send("done")
        return self._leave(0)

    def run(self, load: Callable[[str], ModuleType], bridge: int) -> None:
        """Judge, and say that it is done."""
        payload = self._payload

        def make_world(suite: Suite, modules: list[str]) -> RemoteWorld:
            link = warm()
            link.attach(Wire(bridge), self.end, payload["limits"]["output_bytes"], read_only=payload["read_only"])
            return RemoteWorld(suite, modules, link, payload["entry"])

        judge(payload, self._send, load, make_world)
        self._flush()
        self._send("done")


def warm() -> JudgeLink:
    """What speaks to the solution, made before there is one: once for all runs where a process serves many."""
    if not _ready:
        _ready.append(JudgeLink())
        _ready[0].imports.install()
        _ready[0].texts.install()
    return _ready[0]


def renew() -> None:
    """Make it anew, where it was used. What stands in the way of imports and of texts stays there: it is made once."""
    link = JudgeLink()
    link.imports, link.texts = warm().imports, warm().texts
    link.imports.end()
    link.texts.end()
    _ready[:] = [link]


def main(payload: dict[str, Any], load: Callable[[str], ModuleType]) -> None:
    """Serve one payload and leave without the interpreter's own end."""
    warning_filters.insert(0, ("ignore", None, SyntaxWarning, None, 0))  # a compiler's remark is no output
    leave = posix._exit  # noqa: SLF001 - its public name
    send, bridge = open_channel(payload["nonce"]), move_out_of_reach(BRIDGE)
    limit_process(payload["limits"], payload["marker"])
    reserve_memory(payload["limits"]["memory_bytes"])
    send("ready")
    try:
        Judge(payload, send, leave).run(load, bridge)
    finally:
        leave(0)
