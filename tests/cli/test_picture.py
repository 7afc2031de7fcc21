"""The README's picture of the output: drawn by a script, and it fetches nothing."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

PICTURE = "docs/quickstart.svg"


def test_the_readme_shows_a_picture_that_fetches_nothing(root: Path) -> None:
    text = (root / PICTURE).read_text(encoding="utf-8")
    assert f"({PICTURE})" in (root / "README.md").read_text(encoding="utf-8")
    assert len(text.encode()) < 200_000
    assert set(re.findall(r"\w+://[^\"' )]*", text)) == {"http://www.w3.org/2000/svg"}  # the name of the format
    assert not re.search(r"@import|@font-face|url\((?!#)|href|<script", text)


def test_the_picture_shows_the_table_and_says_that_the_model_is_simulated(root: Path) -> None:
    shown = "".join(ET.parse(root / PICTURE).getroot().itertext()).replace("\N{NO-BREAK SPACE}", " ")
    for line in ("success by concept and difficulty", "$ prismenv run quickstart", "The model was simulated"):
        assert line in shown
    assert re.search(r"solved \d+ of 50: [\d.]+%, 95 % interval", shown)
    assert "/tmp" not in shown
