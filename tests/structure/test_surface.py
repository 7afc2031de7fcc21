"""The public surface: frozen, lazy, typed."""

import ast
import subprocess
import sys
from pathlib import Path

import prismenv

ROOT = Path(__file__).resolve().parents[2]


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
        "names = {'pydantic', 'sqlalchemy', 'httpx', 'rich', 'typer', 'openai', 'aiohttp', 'starlette', 'uvicorn'}\n"
        "print(sorted(names & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    assert answer.stdout.strip() == "[]"


def test_the_help_imports_no_engine() -> None:
    program = (
        "import sys\nsys.argv = ['prismenv', '--help']\nfrom prismenv.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "names = {'pydantic', 'sqlalchemy', 'httpx', 'jinja2', 'yaml', 'openai', 'aiohttp', 'uvicorn'}\n"
        "print(sorted(names & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    assert answer.stdout.strip().splitlines()[-1] == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(prismenv, "no_such_name")
