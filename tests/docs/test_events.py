"""The page on events names every event that there is, and no other."""

import re
from pathlib import Path
from typing import get_args

from prismenv.words.events import EventType

PAGE = Path(__file__).resolve().parents[2] / "docs" / "observing.md"


def test_the_page_names_every_event() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## Events")[2].partition("## From")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(get_args(EventType))
