"""Plays search policies against simulated models whose weaknesses are known.

    OPENBLAS_NUM_THREADS=1 python benchmarks/search.py [--families a,b] [--policies a,b] [--budgets 60,120,240]
        [--most 1000] [--seeds 20] [--interval 0.2] [--surfaces FILE] [--json]

Each policy plays each surface (search_surfaces.py) with each seed until it has found the weak cells by every reading of
its map, or `--most` nodes. A policy that ends by its own rules before is begun anew, and its counts go on. There are
infrastructure faults, problems that are not alike and a window of requests out at once (search_play.py). Maps are read
in two ways: `plain`, each cell by its own counts, and `model`, by the adaptive policy's model of ability, which for
other policies is fitted to what they happened to measure. The adaptive policy's own map is `model`.

    to_f1            told nodes until F1 of the cells under the threshold is 0.9 and stays for three readings; median
                     over surfaces and seeds. A play that never gets there counts as `--most`.
    rmse, f1         at each budget, cells weighing the same, means over plays
    at_stop          the adaptive policy played until its own stop (`--interval`): nodes, and the share of cells whose
                     90 % interval holds the truth, by family
    seconds          of the processor, of one ask and one tell
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from search_play import Play, Played, play_policy
from search_surfaces import HELD_OUT, TUNING, PlantedSurface, all_surfaces


def mean(values: Iterable[float]) -> float | None:
    """The mean, rounded; None of nothing."""
    found = list(values)
    return round(statistics.fmean(found), 4) if found else None


def budget_figures(plays: list[Played], kind: str, budgets: list[int], most: int) -> dict[str, Any]:
    """Figures of one policy read in one way."""
    needed = [played.reached.get(kind) or most for played in plays]
    return {
        "to_f1": statistics.median(needed),
        "to_f1_quartiles": [round(x) for x in statistics.quantiles(needed, n=4)[::2]] if len(needed) > 1 else None,
        "never": sum(played.reached.get(kind) is None for played in plays),
        "f1": {
            mark: mean(played.f1.get(kind, {}).get(mark, played.final_f1[kind]) for played in plays) for mark in budgets
        },
        "rmse": {
            mark: mean(played.rmse.get(kind, {}).get(mark, played.final_rmse[kind]) for played in plays)
            for mark in budgets
        },
    }


def median_needed(family: str, played: list[tuple[str, list[Played]]], kind: str, most: int) -> float:
    """`to_f1` over the surfaces of one family."""
    plays = [play for of, some in played if of == family for play in some]
    return statistics.median(play.reached.get(kind) or most for play in plays)


def seconds(plays: list[Played]) -> dict[str, Any]:
    """Time for one ask and one tell, over all plays."""
    found = {}
    for name, taken in (
        ("ask", [second for played in plays for second in played.ask_seconds]),
        ("tell", [second for played in plays for second in played.tell_seconds]),
    ):
        ordered = sorted(taken)
        found[name] = {
            "mean_ms": round(1000 * statistics.fmean(ordered), 3),
            "p99_ms": round(1000 * ordered[int(0.99 * (len(ordered) - 1))], 3),
            "max_ms": round(1000 * ordered[-1], 1),
        }
    return found


def stop_figures(surfaces: list[PlantedSurface], options: argparse.Namespace) -> dict[str, Any]:
    """The adaptive policy at its own stop, by family."""
    found: dict[str, Any] = {}
    for family in dict.fromkeys(surface.family for surface in surfaces):
        plays = [
            play_policy(
                surface,
                Play("adaptive", options.stop_nodes, seed, options.pairs, interval=options.interval),
            )
            for surface in surfaces
            if surface.family == family
            for seed in range(options.seeds)
        ]
        found[family] = {
            "nodes": statistics.median(played.told for played in plays),
            "stopped_by": {why: sum(played.stopped_by == why for played in plays) for why in ("precision", "nodes")},
            "covered": mean(played.covered["model"] for played in plays),
            "rmse": mean(played.final_rmse["model"] for played in plays),
            "f1": mean(played.final_f1["model"] for played in plays),
        }
    held = [found[name]["covered"] for name in HELD_OUT if name in found]
    found["held_out_covered"] = mean(held)
    return found


def most_of(options: argparse.Namespace) -> int:
    """Where plays end: `--most`, or else the largest budget."""
    return options.most or max(int(part) for part in options.budgets.split(","))


def plays_of(name: str, surface: PlantedSurface, budgets: list[int], options: argparse.Namespace) -> list[Played]:
    """A policy on a surface, with each seed."""
    print(f"{name} {surface.name}", file=sys.stderr)
    marks = tuple(budgets)
    return [
        play_policy(surface, Play(name, most_of(options), seed, options.pairs, marks=marks, until_found=True))
        for seed in range(options.seeds)
    ]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    budgets = sorted(int(part) for part in options.budgets.split(","))
    families = options.families.split(",")
    surfaces = all_surfaces(options.surfaces, options.each, families, pairs=options.pairs)
    found: dict[str, Any] = {
        "surfaces": [surface.name for surface in surfaces],
        "tuned_on": TUNING,
        "seeds": options.seeds,
        "most": most_of(options),
        "cells": len(surfaces[0].chances),
        "policies": {},
    }
    for name in options.policies.split(","):
        played = [(surface.family, plays_of(name, surface, budgets, options)) for surface in surfaces]
        plays = [play for _, some in played for play in some]
        kinds = ["model"] if name == "adaptive" else ["plain", "model"]
        found["policies"][name] = {
            **{kind: budget_figures(plays, kind, budgets, most_of(options)) for kind in kinds},
            "to_f1_by_family": {
                family: {kind: median_needed(family, played, kind, most_of(options)) for kind in kinds}
                for family in dict.fromkeys(family for family, _ in played)
            },
            "seconds": seconds(plays),
        }
    if options.interval:
        found["at_stop"] = {"interval": options.interval, **stop_figures(surfaces, options)}
    return found


def table(found: dict[str, Any]) -> str:
    """The figures as lines."""
    lines = [f"{len(found['surfaces'])} surfaces of {found['cells']} cells, {found['seeds']} seeds"]
    for name, figures in found["policies"].items():
        for kind in ("plain", "model"):
            if kind in figures:
                own = figures[kind]
                needed = f"to F1 0.9: {own['to_f1']:6} nodes, {own['never']} never"
                lines.append(f"{name:12} {kind:6} {needed}; RMSE {own['rmse']}; F1 {own['f1']}")
        lines.append(f"{name:12} to F1 0.9 by family {figures['to_f1_by_family']}")
        lines.append(f"{name:12} seconds {figures['seconds']}")
    for family, figures in found.get("at_stop", {}).items():
        lines.append(f"at stop: {family}: {figures}")
    return "\n".join(lines)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surfaces", type=Path, help="a capability file; without it only random surfaces")
    parser.add_argument("--policies", default="adaptive,random,grid")
    parser.add_argument("--budgets", default="60,120,240")
    parser.add_argument("--most", type=int, help="nodes after which a play is given up; else the largest budget")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--each", type=int, default=3, help="random surfaces of each family")
    parser.add_argument("--families", default=",".join(HELD_OUT))
    parser.add_argument("--pairs", action="store_true", help="pairs of concepts are cells too")
    parser.add_argument("--interval", type=float, help="also play the adaptive policy until stop.interval")
    parser.add_argument("--stop-nodes", type=int, default=2000, help="where such a play ends at the latest")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options)
    print(json.dumps(found, indent=2) if options.json else table(found))


if __name__ == "__main__":
    main()
