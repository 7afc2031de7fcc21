"""Sandboxes whose pairs of guests are stand-ins (standins/): a test says what is told to the parent, and when."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from prismenv.contracts.jail import Sandbox
from prismenv.isolation.blocking import BlockingSandbox

STANDINS = Path(__file__).parent / "standins"


@pytest.fixture(scope="session")
def standins(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sandbox's folder with the stand-ins as Python's pair."""
    folder = tmp_path_factory.mktemp("standins") / "sandbox"
    shutil.copytree(root / "sandbox", folder)
    folder.parent.chmod(0o755)
    for path in STANDINS.glob("*.py"):
        shutil.copy(path, folder / "guests")
    profile = folder / "languages" / "python.yaml"
    language = yaml.safe_load(profile.read_text(encoding="utf-8"))
    language["guest"]["split"] = {
        side: {"parts": ["guest_process", f"standin_{side}"]} for side in ("judge", "solution")
    }
    profile.write_text(yaml.safe_dump(language), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def new_pairs(new_sandbox: Callable[..., Sandbox], standins: Path) -> Callable[..., Sandbox]:
    """Makes a sandbox of a form that judges by stand-ins."""
    return lambda form, workers=1: new_sandbox(form, workers, folder=standins, verdict="split")


@pytest.fixture(scope="session")
def warm_pairs(new_pairs: Callable[..., Sandbox]) -> Iterator[Callable[[str], BlockingSandbox]]:
    """Gives the one of a form that these tests share."""
    opened: dict[str, BlockingSandbox] = {}
    with ExitStack() as stack:

        def of(form: str) -> BlockingSandbox:
            if form not in opened:
                opened[form] = stack.enter_context(BlockingSandbox(new_pairs(form)))
            return opened[form]

        yield of
