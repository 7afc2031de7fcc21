"""A stored run that another process works on, followed from the store alone.

Theory of operation. Nothing is asked of the process that works: what is committed is read again and again. Nodes are
committed in the order in which they end, which is not that of their indexes, so each look begins at the first index
that is still missing and passes over what was told; a run has at most its window of nodes beyond that, which bounds
what is read twice. Status and events are read before the nodes: a run's end is stored after its last node, so a look
that sees the end has all nodes. A run whose status is `running` although nobody holds its lock was killed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from prismenv.contracts.archive import NodeRecord, RunRecord, Store
from prismenv.engine.phases import PhaseWatch
from prismenv.engine.progress import Progress
from prismenv.engine.summaries import find_run
from prismenv.engine.telling import attempt_told, node_told, place_of
from prismenv.words.events import Event

_BEGINNINGS = ("run_started", "run_resumed")
_LOOKS_ALONE = 2  # so many looks in a row without a holder, and nobody is just about to begin


@dataclass(slots=True)
class Follower:
    """Gives what is new of a run at each look. `over` is true once nothing more will come.

    `abandoned` is true for a run that ended without saying so: its process was killed.
    """

    store: Store
    run_id: str
    over: bool = False
    abandoned: bool = False
    run: RunRecord | None = None
    _progress: Progress = field(default_factory=lambda: Progress(None))
    _began_at: float = 0.0
    _latest_at: float = 0.0
    _told: dict[int, NodeRecord] = field(default_factory=dict)  # by index, those behind a gap
    _next: int = 0  # the lowest index that is missing
    _phases: PhaseWatch = field(default_factory=PhaseWatch)
    _events: int = 0
    _alone: int = 0

    def look(self) -> list[Event]:
        """What happened since the last look, in the order of time. An unknown run is a StorageException.

        The events are those of `prismenv run --json`, but for what is only there while a node runs (the text of
        answers, model calls); attempts are told when their node ended.
        """
        held = self.store.is_locked(self.run_id)
        self.run = find_run(self.store, self.run_id)
        self.run_id = self.run.run_id
        own = self._own_events()
        news = [*(event for event in own if event.type in _BEGINNINGS)]
        for node in self._new_nodes():
            news += self._node_events(node)
        news += self._phase_events()
        news += [event for event in own if event.type not in _BEGINNINGS]
        self._alone = 0 if held or self.run.status != "running" else self._alone + 1
        self.abandoned = self._alone >= _LOOKS_ALONE
        self.over = self.abandoned or self.run.status != "running"
        return sorted(news, key=lambda event: event.at)

    def progress(self) -> dict[str, Any]:
        """How far it is, as the events say it; the time is that of this sitting."""
        ended_at = self.run.ended_at if self.run is not None else None
        return self._progress.snapshot(max((ended_at or self._latest_at) - self._began_at, 0.0))

    def _own_events(self) -> list[Event]:
        events = self.store.events(self.run_id)
        new = list(events[self._events :])
        self._events = len(events)
        for event in new:
            if event.type in _BEGINNINGS:
                self._began_at = event.at
                self._progress.total = event.data.get("progress", {}).get("total", self._progress.total)
        return new

    def _new_nodes(self) -> Iterator[NodeRecord]:
        for node in self.store.nodes(self.run_id, after=self._next - 1):
            index = node.outcome.request.index
            if index in self._told:
                continue
            self._told[index] = node
            yield node

    def _phase_events(self) -> Iterator[Event]:
        """The phases that ended, from the nodes that are there without a gap."""
        while (node := self._told.pop(self._next, None)) is not None:
            self._next += 1
            if (ended := self._phases.told(node.outcome)) is not None:
                yield Event("phase_ended", self.run_id, _ended_at(node, self._began_at), ended)
        if self.run is not None and self.run.status == "finished" and (ended := self._phases.end()) is not None:
            yield Event("phase_ended", self.run_id, self._latest_at, ended)

    def _node_events(self, node: NodeRecord) -> Iterator[Event]:
        outcome, place = node.outcome, place_of(node.outcome.request)
        ended_at = _ended_at(node, self._began_at)
        started_at = next((event.at for event in node.events if event.type == "node_started"), ended_at)
        self._latest_at = max(self._latest_at, ended_at)
        self._progress.add(outcome)
        yield Event("node_started", self.run_id, started_at, place)
        where = {"index": place["index"], "node_id": place["node_id"]}
        for record in outcome.result.data_trail if outcome.result else ():
            yield Event("attempt_judged", self.run_id, ended_at, {**where, **attempt_told(record)})
        progress = self._progress.snapshot(max(ended_at - self._began_at, 0.0))
        yield Event("node_finished", self.run_id, ended_at, node_told(outcome, progress))


def _ended_at(node: NodeRecord, unknown: float) -> float:
    return next((event.at for event in node.events if event.type == "node_finished"), unknown)
