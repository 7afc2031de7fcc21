"""Figures that the pages name are those of what they speak of."""

import re
from pathlib import Path

from prismenv.isolation.attacks import load_attacks

ROOT = Path(__file__).resolve().parents[2]


def test_the_readme_names_as_many_attacks_as_doctor_runs() -> None:
    named = re.findall(r"\[(\d+) attacks\]", (ROOT / "README.md").read_text(encoding="utf-8"))
    there = len(load_attacks("harm", "forge"))
    assert named == [str(there)], f"`doctor --attack` runs {there} attacks; the README's table says {named}"


def test_decisions_are_numbered_one_by_one() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:03}-" for number in range(1, len(pages) + 1)]
    for page in pages:
        assert page.read_text(encoding="utf-8").startswith(f"# {page.name[:3]}: "), page.name
