"""Workers: slots with zygotes, replaced when they have died or grown, and pairs of them."""

import contextlib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from prismenv.isolation.cgroups import GroupTrees, find_trees
from prismenv.isolation.design import Form
from prismenv.isolation.language import Side
from prismenv.isolation.slots import Slot, first_uid, lease_slot
from prismenv.isolation.zygote import RunRequest, Zygote, ZygoteDesign, ZygoteGuest, ZygoteLostError
from prismenv.words.errors import SandboxException

TRIES = 3


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a worker has of the host. None and no trees: its runs keep this user and have no control group."""

    slot: Slot | None = None
    trees: GroupTrees = field(default_factory=GroupTrees)

    def release(self) -> None:
        """Give it back."""
        if self.slot is not None:
            self.slot.release()


def take_holdings(form: Form) -> Holdings:
    """What workers of a form need. SandboxException with the reason when the host has it not."""
    if form != "full":
        return Holdings()
    if os.geteuid() != 0:
        raise SandboxException("it needs root", subject="full")
    base = first_uid()
    if base is None:
        raise SandboxException("this user namespace has too few user ids for slots", subject="full")
    trees = find_trees()
    if trees.problem:
        raise SandboxException(trees.problem, subject="full")
    return Holdings(lease_slot(base), trees)


class Worker:
    """A slot and its zygote; `place` is an empty folder of its own. A thread at a time uses it."""

    def __init__(self, design: ZygoteDesign, place: Path, form: Form) -> None:
        self._design = design
        self._place = place
        self._holdings = take_holdings(form)
        self._zygote: Zygote | None = None
        self._successor: Zygote | None = None
        self._renewal: threading.Thread | None = None

    def zygote(self) -> Zygote:
        """One that serves. SandboxException when none can be started."""
        if self._zygote is not None and (self._successor is not None or not self._zygote.usable):
            self._zygote.close()
            self._zygote = None
        if self._zygote is None:
            self._end_renewal()
            self._zygote, self._successor = self._successor or self._started(), None
        elif self._zygote.outgrown and self._renewal is None:
            self._renewal = threading.Thread(target=self._renew, name="zygote-renewal")
            self._renewal.start()
        return self._zygote

    def _started(self) -> Zygote:
        zygote = Zygote(self._design, self._place, self._holdings.slot, self._holdings.trees)
        zygote.start()
        return zygote

    def _renew(self) -> None:
        """In a thread of its own, beside the runs: have the next one ready, so that no run waits for it."""
        with contextlib.suppress(SandboxException, OSError):  # the old one serves on, until it is asked for again
            self._successor = self._started()

    def _end_renewal(self) -> None:
        if self._renewal is not None:
            self._renewal.join()
            self._renewal = None

    def guest(self, request: RunRequest, bridge: int | None = None) -> ZygoteGuest:
        """A run in a zygote's child; a zygote that turns out to be dead is replaced. ZygoteLostError in the end."""
        for _ in range(TRIES - 1):
            try:
                return ZygoteGuest(self.zygote(), request, bridge)
            except ZygoteLostError:
                continue
        return ZygoteGuest(self.zygote(), request, bridge)

    def close(self) -> None:
        """End the zygotes and let go of the slot."""
        self._end_renewal()
        for zygote in (self._zygote, self._successor):
            if zygote is not None:
                zygote.close()
        self._zygote = self._successor = None
        self._holdings.release()


@dataclass(frozen=True, slots=True)
class WorkerPair:
    """What one run needs at most: the two sides never meet, each has a slot and a zygote of its own."""

    judge: Worker
    solution: Worker

    def side(self, side: Side) -> Worker:
        """The worker of one side."""
        return self.judge if side == "judge" else self.solution
