"""Every code block of the documentation is executed, in order, in an empty folder of its page's own.

```python                         runs as a script, with the page's folder as the current one
```sh                             runs under bash; `prismenv` and `python` are the ones under test
```LANGUAGE file=PATH             is written to PATH, for the blocks that follow
```sh elsewhere=REASON            is not run here; the reason says which check runs it
```text, ```console               is output for the reader's eyes
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = {"text", "console"}


@dataclass(frozen=True)
class Block:
    language: str
    options: dict[str, str]
    body: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    blocks = []
    for match in BLOCK.finditer(text):
        language, *words = match["info"].split()
        options = dict(word.split("=", 1) for word in words)
        blocks.append(Block(language, options, match["body"], text.count("\n", 0, match.start()) + 1))
    return blocks


def surroundings(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRISMENV_")}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder), "COLUMNS": "110"}


def run_block(block: Block, folder: Path) -> None:
    if block.language == "sh":
        command = ["bash", "-euo", "pipefail", "-c", block.body]
    else:
        script = folder / f".block-{block.line}.py"
        script.write_text(block.body, encoding="utf-8")
        command = [sys.executable, str(script)]
    done = subprocess.run(
        command, cwd=folder, env=surroundings(folder), capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, f"line {block.line}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_the_page_runs(page: Path, tmp_path: Path) -> None:
    for block in blocks_of(page):
        if block.language in SHOWN or "elsewhere" in block.options:
            continue
        if target := block.options.get("file"):
            path = tmp_path / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
        else:
            assert block.language in {"python", "sh"}, f"line {block.line}: what is a block of {block.language!r}?"
            run_block(block, tmp_path)


def test_a_search_is_driven_from_python_in_fifteen_lines_each_way() -> None:
    page = ROOT / "docs" / "search.md"
    start = page.read_text(encoding="utf-8").partition("## From Python")[0].count("\n")
    examples = [block for block in blocks_of(page) if block.language == "python" and block.line > start]
    ways = ("execute_node(", "/run-challenge", "policy.tell(")
    assert [next(way for way in ways if way in block.body) for block in examples] == list(ways)
    for block in examples:
        assert len([line for line in block.body.splitlines() if line.strip()]) <= 15, f"line {block.line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
