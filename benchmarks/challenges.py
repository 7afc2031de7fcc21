"""Challenges per second with a model that answers at once and the portable sandbox, beside a peer's way of judging.

    python benchmarks/challenges.py [CHALLENGES]

Ours is a whole run of `environment_coding_challenge` with `simulated/perfect`: three model calls, one judged execution
and the store for each challenge. The peer's way is judging alone, without any model call: the same references and
suites in one file, a fresh Python process for each attempt, a new process pool of the default size for each challenge,
ten challenges at once, and the exit code as the verdict. It is favoured: it calls the interpreter itself, not `python`
by its name, which may be a slow shim. Both are measured in this one run, so the ratio holds on any machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import anyio

from prismenv.contracts.recipe import ConcurrencySettings, OutputSettings, Recipe, SearchSettings
from prismenv.engine.campaign import run_campaign
from prismenv.finding.workspace import find_workspaces
from prismenv.simulated.bank import Challenge, load_bank

AT_ONCE = 10
TARGET_PER_SECOND = 25.0


def exit_code_says_passed(file: str) -> bool:
    """The peer's verdict."""
    return subprocess.run([sys.executable, file], capture_output=True, check=False, timeout=60).returncode == 0


def judge_the_peers_way(file: Path) -> bool:
    """A new pool for this challenge, a new process in it for the attempt."""
    with ProcessPoolExecutor() as pool:
        return pool.submit(exit_code_says_passed, str(file)).result()


def write_scripts(challenges: list[Challenge], folder: Path) -> list[Path]:
    """One file for each challenge: solution, tests and the call that runs them."""
    files = []
    for number, challenge in enumerate(challenges):
        file = folder / f"attempt_{number}.py"
        file.write_text(f"{challenge.solution}\n\n{challenge.tests}\n\nunittest.main()\n", encoding="utf-8")
        files.append(file)
    return files


def timed(work: Callable[[], None], count: int) -> dict[str, float]:
    """Wall time of `work`, which does `count` challenges."""
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    return {"challenges": count, "wall_seconds": round(seconds, 3), "per_second": round(count / seconds, 2)}


def peers_way(count: int, folder: Path) -> dict[str, float]:
    """The peer's figure over `count` challenges of the bank."""
    bank = load_bank().challenges
    files = write_scripts([bank[number % len(bank)] for number in range(count)], folder)

    def work() -> None:
        with ThreadPoolExecutor(AT_ONCE) as drivers:
            if not all(drivers.map(judge_the_peers_way, files)):
                raise SystemExit("the peer's way failed a reference: this is no measurement")

    return timed(work, count)


def our_way(count: int, folder: Path, *, at_once: int = AT_ONCE) -> dict[str, float]:
    """A whole run of `count` nodes."""
    recipe = Recipe(
        name="challenges",
        models={"default": "simulated/perfect"},
        search=SearchSettings(policy="random", nodes=count, tree="tree_configs"),
        concurrency=ConcurrencySettings(nodes=at_once),
        output=OutputSettings(store=str(folder / f"runs-{at_once}.db")),
    )
    workspaces = find_workspaces(folder)

    def work() -> None:
        async def main() -> None:
            report = await run_campaign(recipe, workspaces=workspaces, folder=folder, sink=lambda _: None)
            if report.progress["solved"] != count:
                raise SystemExit(f"the run is no measurement: {report.to_json()}")

        anyio.run(main)

    return timed(work, count)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=200, help="challenges to run (%(default)s)")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        our_way(10, folder, at_once=2)  # warm: imports, bank
        ours, one_by_one = our_way(count, folder), our_way(max(count // 10, 1), folder, at_once=1)
        peers = peers_way(max(count // 4, 1), folder)
    figures = {
        "ours": ours,
        "ours_one_at_a_time": one_by_one,
        "peers_way": peers,
        "ratio": round(ours["per_second"] / peers["per_second"], 2),
        "targets": {"per_second": TARGET_PER_SECOND},
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
