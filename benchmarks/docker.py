"""What a judged run costs in a warm container, against a plain `docker exec` of the same Python, by turns in one run.

    python benchmarks/docker.py --image IMAGE [--socket SOCKET] [--runs N] [--rounds N]

Prints one JSON document: medians of milliseconds for `docker exec IMAGE python3 -c pass` in a container that runs, and
for a program and a judged solution of 5 tests, split and shared, in the containers of `isolation: docker`; for a call
in an open session of them, and for opening and closing one.
"""

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

from prismenv import BlockingSandbox, Sandbox
from sandbox import SOLUTION, TESTS


def exec_once(docker: list[str], container: str) -> None:
    """What whoever has no sandbox would do in a warm container."""
    subprocess.run([*docker, "exec", container, "python3", "-c", "pass"], check=True, capture_output=True)


def median_ms(work: Callable[[], object], runs: int) -> float:
    """Median of single times."""
    took = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)


def measure(image: str, socket: str, runs: int, rounds: int) -> dict[str, Any]:
    """Medians over the rounds; in each round everything has its turn."""
    docker = ["docker", "-H", f"unix://{socket}"]
    hold = [*docker, "run", "-d", "--rm", "--network", "none", image, "python3", "-c", "import time; time.sleep(3600)"]
    container = subprocess.run(hold, check=True, capture_output=True, text=True).stdout.strip()
    told: dict[str, list[float]] = {}
    try:
        where = {"image": image, "socket": socket}
        with BlockingSandbox(Sandbox(isolation="docker", workers=1, docker=where)) as box, box.open() as session:
            works: dict[str, Callable[[], object]] = {
                "docker_exec_ms": lambda: exec_once(docker, container),
                "program_ms": lambda: box.run("pass"),
                "judged_split_ms": lambda: box.judge(SOLUTION, TESTS, verdict="split"),
                "judged_shared_ms": lambda: box.judge(SOLUTION, TESTS, verdict="shared"),
                "session_call_ms": lambda: session.execute("1"),
                "session_ms": lambda: box.open().close(),
            }
            for _ in range(rounds):
                for name, work in works.items():
                    told.setdefault(name, []).append(median_ms(work, runs))
    finally:
        subprocess.run([*docker, "rm", "-f", container], check=True, capture_output=True)
    found = {name: round(statistics.median(values), 2) for name, values in told.items()}
    return {"load": os.getloadavg()[0], **found}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--image", required=True)
    parser.add_argument("--socket", default="/var/run/docker.sock")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(json.dumps(measure(options.image, options.socket, options.runs, options.rounds), indent=2))


if __name__ == "__main__":
    main()
