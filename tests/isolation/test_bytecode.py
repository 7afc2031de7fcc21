"""Guests are compiled once for each installation, and what is kept is never taken for another text."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prismenv.isolation.bytecode import compiled
from prismenv.isolation.portable import PortableSandbox

pytestmark = pytest.mark.anyio


@pytest.fixture
def guests(root: Path, tmp_path: Path) -> Path:
    """The guests of a sandbox folder of its own, nothing of them kept yet."""
    folder = tmp_path / "sandbox"
    shutil.copytree(root / "sandbox", folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "guests"


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that may keep bytecode, and has read none yet."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    compiled.cache_clear()
    yield
    compiled.cache_clear()


async def passes(guests: Path) -> bool:
    compiled.cache_clear()
    async with PortableSandbox(1, folder=guests.parent) as sandbox:
        return (await sandbox.judge("def one(): return 1", "def test_a(): assert one() == 1")).success


def kept(guests: Path) -> list[Path]:
    return sorted((guests / "__pycache__").glob("*.opt-2.pyc"))


async def test_what_was_compiled_is_kept_beside_the_source_and_used(guests: Path) -> None:
    assert await passes(guests)
    files = kept(guests)
    assert files
    assert [path.name for path in (guests / "__pycache__").iterdir() if path not in files] == []
    part = guests / "guest_process.py"
    first = next(path for path in files if path.name.startswith("guest_process."))
    other = compile("OTHER = 1", "<other>", "exec")
    head, code = first.read_bytes()[:16], __import__("marshal").dumps(other)
    first.write_bytes(head + code)
    compiled.cache_clear()
    assert "OTHER" in compiled(part, part.read_bytes()).co_names  # so it is what is kept that is read


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: b"", lambda data: data[:16] + b"i\1\0\0\0"])
async def test_what_is_damaged_is_compiled_anew(guests: Path, damage: object) -> None:
    assert await passes(guests)
    for path in kept(guests):
        path.write_bytes(damage(path.read_bytes()))
    assert await passes(guests)


async def test_another_text_is_compiled_anew_whatever_its_time_and_size(guests: Path) -> None:
    part = guests / "guest_process.py"
    compiled(part, b"FIRST = 1\n")
    assert "OTHER" in compiled(part, b"OTHER = 1\n").co_names
    assert "OTHER" in compiled(part, b"OTHER = 1\n").co_names


async def test_where_nothing_can_be_kept_it_judges_all_the_same(guests: Path) -> None:
    (guests / "__pycache__").write_text("a file where the folder would be")
    assert await passes(guests)
