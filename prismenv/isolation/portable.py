"""The portable kind of isolation: what every POSIX system gives, fresh guest processes for each judged run."""

import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from prismenv.isolation.base import GuestSandbox
from prismenv.isolation.bridge import bridges
from prismenv.isolation.bundle import BOOT, boot, chunk
from prismenv.isolation.calls import GuestCall
from prismenv.isolation.folder import private_folder
from prismenv.isolation.kit import LanguageKit
from prismenv.isolation.launch import Ending, StopSignal
from prismenv.isolation.packages import ONE_THREAD
from prismenv.isolation.processes import MARK_BASE
from prismenv.isolation.sessionguest import SpawnedSession
from prismenv.isolation.sessionkeeper import SessionKeeper, StartedSession
from prismenv.isolation.spawned import Launch, SpawnedGuest
from prismenv.isolation.supervisor import Supervisor
from prismenv.isolation.watched import Watched
from prismenv.words.limits import Limits
from prismenv.words.verdict import DEFAULT_VERDICT, Isolation, VerdictMode


class PortableSandbox(GuestSandbox):
    """Runs each judgement in fresh guests: own session, clean environment, limits, private folder."""

    isolation: Isolation = "portable"

    def __init__(  # noqa: PLR0913 - what every kind has
        self,
        workers: int,
        ceiling: Limits | None = None,
        *,
        limits: Mapping[str, Any] | None = None,
        verdict: VerdictMode = DEFAULT_VERDICT,
        folder: Path | None = None,
        packages: Sequence[str] = (),
        languages: Sequence[Path] = (),
        sessions: SessionKeeper | None = None,
    ) -> None:
        super().__init__(
            workers,
            ceiling,
            limits=limits,
            verdict=verdict,
            folder=folder,
            packages=packages,
            languages=languages,
            sessions=sessions,
        )
        self._numbering = threading.Lock()
        self._runs = secrets.randbits(24) << 24  # so that the marks of two sandboxes on one machine do not meet

    async def _launch(self, kit: LanguageKit, calls: Sequence[GuestCall], limits: Limits) -> Ending:
        root = self._open_root()
        packages = self._package_variables()
        markers = self._new_markers(len(calls))

        def work(stop: StopSignal) -> Ending:
            watched = []
            with ExitStack() as held:
                try:
                    with bridges(len(calls)) as ends:
                        for call, marker, end in zip(calls, markers, ends, strict=True):
                            folder = held.enter_context(private_folder(root))
                            launch = _launch_of(kit, call, marker, call.handed if end is None else end, folder)
                            launch = replace(launch, environment={**launch.environment, **packages})
                            guest = held.enter_context(closing(SpawnedGuest(launch)))
                            message = chunk({**call.payload, "limits": limits.model_dump(), "marker": marker})
                            watched.append(Watched(guest, (kit.bundles[call.role].chunk, message), call.conversation))
                except OSError as error:
                    return Ending(message=f"the guest could not be started: {error}")
                return Supervisor(watched, limits, stop).run()

        return await self._in_thread(work)

    def _start_session(self, kit: LanguageKit, nonce: str, limits: Limits) -> StartedSession:
        (marker,) = self._new_markers(1)
        command = kit.profile.filled(kit.guest.start, boot=BOOT)
        environment = {**kit.guest_environment, **self._package_variables()}
        launch = Launch(command, environment, self._open_root(), marker, streams_apart=True)
        guest = SpawnedSession(launch, private_folder(self._open_root()))
        return StartedSession(
            guest,
            (kit.bundles["session"].chunk, chunk({"nonce": nonce, "limits": limits.model_dump(), "marker": marker})),
        )

    def _package_variables(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self._shelf()), **ONE_THREAD} if self._packages.entries else {}

    def _new_markers(self, count: int) -> list[int]:
        with self._numbering:
            markers = [MARK_BASE + self._runs + number for number in range(1, count + 1)]
            self._runs += count
        return markers


def _launch_of(kit: LanguageKit, call: GuestCall, marker: int, bridge: int | None, folder: Path) -> Launch:
    command = kit.profile.filled(kit.guest.start, boot=boot(bridge))
    environment = {**kit.guest_environment, "HOME": str(folder), "TMPDIR": str(folder)}
    return Launch(command, environment, folder, marker, streams_apart=call.role == "run", bridge=bridge)
