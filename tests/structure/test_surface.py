"""The public surface: frozen, lazy, typed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import prismenv

ROOT = Path(__file__).resolve().parents[2]
SDKS = {"aiohttp", "httpx2", "litellm", "openai", "opentelemetry", "starlette", "uvicorn"}


def test_every_public_name_is_sorted_and_resolves() -> None:
    assert prismenv.__all__ == sorted(prismenv.__all__)
    assert len(set(prismenv.__all__)) == len(prismenv.__all__)
    for name in prismenv.__all__:
        assert getattr(prismenv, name) is not None


def test_the_typed_surface_names_the_same_as_the_lazy_one() -> None:
    stub = ast.parse((ROOT / "prismenv" / "__init__.pyi").read_text(encoding="utf-8"))
    exported = {
        alias.asname or alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert exported | {"__version__"} == set(prismenv.__all__)


def test_importing_prismenv_imports_no_dependency() -> None:
    program = (
        "import sys, prismenv\n"
        f"names = {{'numpy', 'pydantic', 'sqlalchemy', 'httpx', 'rich', 'typer'}} | {SDKS!r}\n"
        "print(sorted(names & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    assert answer.stdout.strip() == "[]"


def imported_by(*words: str) -> set[str]:
    """The packages that a call of the command line imports."""
    program = (
        f"import sys\nsys.argv = ['prismenv', *{words!r}]\nfrom prismenv.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    return set(answer.stdout.splitlines()[-1].split())


ENGINE = {"pydantic", "yaml", "anyio"}
STORE = {"sqlalchemy"}
DRAWING = {"rich"}
HEAVY = {"httpx", "jinja2", "numpy", "re2", "jsonschema_rs"} | SDKS


@pytest.mark.parametrize(
    ("words", "not_needed"),
    [
        (["--help"], ENGINE | STORE | DRAWING | HEAVY),
        (["--version"], ENGINE | STORE | DRAWING | HEAVY),
        (["judge", "--help"], STORE | DRAWING | HEAVY),
        (["judge", "no-such-file", "no-such-file"], STORE | DRAWING | HEAVY | {"pluggy"}),
        (["init", "--help"], STORE | DRAWING | HEAVY),
        (["list", "--json"], STORE | HEAVY),
        (["runs", "--help"], HEAVY),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_imports_only_what_it_needs(words: list[str], not_needed: set[str]) -> None:
    assert not_needed & imported_by(*words) == set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(prismenv, "no_such_name")
